"""Clips of camera motion: one picture, seen through a window that moves.

Classes are named for what the *camera* does, so the content does the opposite: in `pan_left` the camera turns
to the left and the content moves to the right; in `tilt_up` the content moves down; in `zoom_in` it grows; in
`rotate_left` the camera rolls to the left (counter-clockwise, seen from behind it) and the content turns
clockwise. In `shake` the camera trembles around one place; in `still` it stands, but for the sensor's noise
and a jitter of a fraction of a pixel.

Every class shows the same kind of random picture, and a path runs as far before its middle as after it, so no
single frame tells the classes apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from training.datasets.clip_store import FRAMES, SIDE, Clips, Frames, make_clips
from training.datasets.decoding import decode_picture
from training.datasets.sensor import sensor
from training.datasets.textures import Picture, Rng, texture

MOVES = {  # class: (the component of the path that it drives, its sign)
    "pan_left": (0, -1.0),
    "pan_right": (0, 1.0),
    "tilt_up": (1, -1.0),
    "tilt_down": (1, 1.0),
    "zoom_in": (2, 1.0),
    "zoom_out": (2, -1.0),
    "rotate_left": (3, -1.0),
    "rotate_right": (3, 1.0),
}
CLASSES = ("still", *MOVES, "shake")
REACH = ((10.0, 100.0), (10.0, 100.0), (7.0, 42.0), (6.0, 67.0))  # pixels that the frame's edge travels
CANVAS = 320  # side of a texture in pixels: room for the farthest pan and the widest zoom

_HALF = SIDE / 2
_ACROSS = {name: name for name in CLASSES} | {
    "pan_left": "pan_right",
    "pan_right": "pan_left",
    "rotate_left": "rotate_right",
    "rotate_right": "rotate_left",
}
_DOWN = {name: name for name in CLASSES} | {
    "tilt_up": "tilt_down",
    "tilt_down": "tilt_up",
    "rotate_left": "rotate_right",
    "rotate_right": "rotate_left",
}
_BACKWARD = {name: name for name in CLASSES} | {
    name: next(other for other, opposite in MOVES.items() if opposite == (component, -sign))
    for name, (component, sign) in MOVES.items()
}
_SYMMETRIES: tuple[tuple[dict[str, str], Callable[[Frames], Frames]], ...] = (
    (_ACROSS, lambda frames: frames[:, :, ::-1]),
    (_DOWN, lambda frames: frames[:, ::-1]),
    (_BACKWARD, lambda frames: frames[::-1]),
)


@dataclass(frozen=True)
class Path:
    """Where the camera looks: float64 [4, frames].

    Rows: shift to the right and shift down in frame pixels, natural logarithm of the magnification, and roll
    in radians, positive to the right (clockwise).
    """

    values: NDArray[np.float64]


def camera_path(rng: Rng, name: str, frames: int = FRAMES) -> Path:
    """Draw a path of the class `name`: random reach and acceleration, uneven sampling, an unsteady hand."""
    time = _sample_times(rng, frames)
    values = np.zeros((4, frames))
    unsteady = rng.uniform(0.0, 0.15)
    if name == "shake":
        values[:2] = _tremble(rng, time, _log_uniform(rng, 1.2, 5.0))
        values[3] = _tremble(rng, time, rng.uniform(0.0, 1.0))[0] / _HALF
    elif name in MOVES:
        component, sign = MOVES[name]
        reach = _log_uniform(rng, *REACH[component])
        course = rng.uniform(-0.2, 0.2, 4)  # other components join in, none as strongly
        course[component] = sign
        values = np.multiply.outer(course * reach, _progress(rng, time))
        values[2:] /= _HALF
        unsteady += rng.uniform(0.0, 0.12) * reach / frames
    elif name != "still":
        raise ValueError(f"expected one of the camera moves {', '.join(CLASSES)}. Received: {name!r}")
    values[:2] += rng.normal(0.0, unsteady, (2, frames))
    return Path(values)


def render(picture: Picture, path: Path, *, scale: float = 1.0, aspect: float = 1.0) -> Picture:
    """See `picture` [height, width, 3] along `path`, float32 [frames, 112, 112, 3].

    scale: picture pixels a frame pixel; aspect: how much wider than high the view is before it is squeezed to
    a square. The path's origin is the picture's centre; beyond its border the border's pixels repeat.
    """
    height, width = picture.shape[:2]
    shift_x, shift_y, zoom, roll = path.values[:, :, None, None]
    step = scale / np.exp(zoom)
    offset = np.arange(SIDE) - (SIDE - 1) / 2
    across, down = offset[None, None, :] * aspect, offset[None, :, None]
    x = (width - 1) / 2 + scale * shift_x + step * (np.cos(roll) * across - np.sin(roll) * down)
    y = (height - 1) / 2 + scale * shift_y + step * (np.sin(roll) * across + np.cos(roll) * down)
    return _bilinear(picture, x, y)


def camera_clip(rng: Rng, name: str) -> Frames:
    """Make one clip of the class `name` over a fresh texture, uint8 [16, 112, 112, 3]."""
    path = camera_path(rng, name)
    picture = texture(rng, CANVAS)
    scale = _log_uniform(rng, 0.55, 1.4)
    aspect = _log_uniform(rng, 0.75, 1.33)
    if rng.random() < 0.2:
        picture = _reframe(rng, picture, scale)
    return sensor(rng, render(picture, path, scale=scale, aspect=aspect), picture)


def generated_clips(split: str, count: int, *, seed: int, cache: FilePath, workers: int = 2) -> Clips:
    """Make `count` clips, the classes in turn; the same seed, split and place give the same clip."""
    sources = [((seed, split, index), index % len(CLASSES)) for index in range(count)]
    key = ["camera motion", seed, split, count]
    return make_clips(_numbered_clip, sources, CLASSES, store=cache / split, key=key, workers=workers)


def clips_over(files: Sequence[str], count: int, *, seed: int, store: FilePath, workers: int = 2) -> Clips:
    """Make `count` clips, the classes in turn, each over one frame of one of the video `files`, in turn too.

    The frames are taken as they are: nothing of a texture, a passer-by or a sensor is added.
    """
    sources = [
        ((seed, files[index // len(CLASSES) % len(files)], index), index % len(CLASSES)) for index in range(count)
    ]
    key = ["camera motion over", seed, count, list(files)]
    return make_clips(_clip_over, sources, CLASSES, store=store, key=key, workers=workers)


def mirrored(rng: Rng, frames: Frames, label: int) -> tuple[Frames, int]:
    """Mirror a clip across, down and in time, each at even odds, and name the move that it shows then."""
    name = CLASSES[label]
    for names, flip in _SYMMETRIES:
        if rng.random() < 0.5:
            frames, name = flip(frames), names[name]
    return frames, CLASSES.index(name)


def _numbered_clip(source: tuple[int, str, int]) -> Frames:
    seed, split, index = source
    rng = np.random.default_rng([seed, int.from_bytes(split.encode(), "little"), index])
    return camera_clip(rng, CLASSES[index % len(CLASSES)])


def _clip_over(source: tuple[int, str, int]) -> Frames:
    seed, file, index = source
    rng = np.random.default_rng([seed, index])
    picture = decode_picture(file, rng.random(), CANVAS).astype(np.float32) / 255.0
    path = camera_path(rng, CLASSES[index % len(CLASSES)])
    scene = render(picture, path, scale=_log_uniform(rng, 0.7, 1.3), aspect=_log_uniform(rng, 0.8, 1.33))
    return np.clip(np.rint(scene * 255.0), 0, 255).astype(np.uint8)


def _bilinear(picture: Picture, x: NDArray[np.float64], y: NDArray[np.float64]) -> Picture:
    height, width = picture.shape[:2]
    x = np.clip(x, 0.0, width - 1.001)
    y = np.clip(y, 0.0, height - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right = (x - column).astype(np.float32)[..., None]
    below = (y - row).astype(np.float32)[..., None]
    pixels = np.ascontiguousarray(picture).reshape(-1, picture.shape[2])
    corner = row * width + column
    upper = pixels.take(corner, axis=0)
    upper += right * (pixels.take(corner + 1, axis=0) - upper)
    lower = pixels.take(corner + width, axis=0)
    lower += right * (pixels.take(corner + (width + 1), axis=0) - lower)
    upper += below * (lower - upper)
    return upper


def _sample_times(rng: Rng, frames: int) -> NDArray[np.float64]:
    """Times from 0 to 1, now and then uneven or repeated as when a short clip is sampled."""
    if rng.random() < 0.7:
        return np.linspace(0.0, 1.0, frames)
    there = int(rng.integers(frames // 2, frames * 4))
    return np.rint(np.linspace(0, there - 1, frames)) / (there - 1)


def _progress(rng: Rng, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """A steady, easing or accelerating course from -1/2 to 1/2."""
    kind = rng.random()
    if kind < 0.15:  # stands for a while before or after
        start, end = rng.uniform(0.0, 0.3), rng.uniform(0.7, 1.0)
        time = np.clip((time - start) / (end - start), 0.0, 1.0)
    elif kind < 0.45:
        time = time ** _log_uniform(rng, 0.65, 1.5)
    elif kind < 0.6:
        time = time + rng.uniform(0.0, 1.0) * (time * time * (3.0 - 2.0 * time) - time)
    return time - 0.5


def _tremble(rng: Rng, time: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Two rows that swing around 0 with a deviation of about `strength`, smoothly or as white noise."""
    waves = rng.integers(2, 5)
    cycles, phase = rng.uniform(1.8, 7.5, (2, waves, 1)), rng.uniform(0.0, 2 * np.pi, (2, waves, 1))
    swing = np.sin(2 * np.pi * cycles * time + phase).sum(axis=1) * np.sqrt(2.0 / waves)
    white = rng.standard_normal(swing.shape)
    swing = swing + rng.choice([0.0, 1.0, 4.0]) * rng.random() * white
    swing -= swing.mean(axis=1, keepdims=True)
    balance = rng.uniform(0.35, 1.0, (2, 1))[rng.permutation(2)]
    return strength * balance / balance.max() * swing / (swing.std() + 1e-6)


def _reframe(rng: Rng, picture: Picture, scale: float) -> Picture:
    """Keep little more than one view and fill the rest, as when a move is made over a small picture."""
    keep = int(min(SIDE * scale * rng.uniform(1.0, 1.5), CANVAS))
    start = (CANVAS - keep) // 2
    part = picture[start : start + keep, start : start + keep]
    around = ((start, CANVAS - keep - start),) * 2 + ((0, 0),)
    mode = rng.choice(["constant", "edge", "reflect", "wrap"])
    return np.pad(part, around, mode=mode)


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
