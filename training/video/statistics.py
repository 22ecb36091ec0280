"""How a clip moves, in 74 numbers that need no learning: how much, how unevenly, where, which way, what colour.

Statistics of frame differences and of optical flow, after Lucas and Kanade, "An Iterative Image Registration
Technique" (1981), and Hassner, Itcher and Kliper-Gross, "Violent Flows" (2012), whose measure of sudden changes of
the flow is among them. The camera's own motion is taken off the flow first.
"""

from typing import Any

import numpy as np
from keras import layers, ops

from training.video.model import Shape, shrunk

SHRINK = 4  # pixels of a frame to one of the pictures that are compared
POWERS = (0.5, 1.0, 2.0, 4.0, 8.0)
THIRDS = 3
SMALLEST = 1e-2
STIFFNESS = 3e-3  # keeps the flow at 0 where there is nothing to see
TURNS = 4  # of the search for the camera's motion

_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


class MotionStatistics(layers.Layer):
    """Frames uint8 [batch, time, side, side, 3] to statistics float32 [batch, 74]."""

    def call(self, frames: Any) -> Any:
        small = shrunk(ops.cast(frames, "float32"), SHRINK)
        smooth = _filtered(_normal(ops.mean(small, axis=-1)), _BLUR)
        side = smooth.shape[2] // 6 * 6
        smooth = smooth[:, :, :side, :side]
        across, down = _flow(smooth)
        parts = [*_energy(smooth), *_unrest(across, down), *_course(across, down), _colour(small, smooth)]
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], 74)


def _energy(smooth: Any) -> list[Any]:
    """How much changes from frame to frame, how steadily, and where: 33 numbers."""
    change = smooth[:, 1:] - smooth[:, :-1]
    energy, again = _box(ops.abs(change), 2), _box(ops.abs(change[:, 1:] - change[:, :-1]), 2)
    total = ops.mean(energy, axis=(2, 3))
    course = [_mean(total), ops.std(total, axis=1), ops.max(total, axis=1), ops.min(total, axis=1)]
    course.append(_mean(ops.abs(total[:, 1:] - total[:, :-1])))

    share = energy / (ops.sum(energy, axis=(2, 3), keepdims=True) + 1e-6)
    axis = np.linspace(-1.0, 1.0, energy.shape[2], dtype=np.float32)
    x, y = ops.sum(share * axis, axis=(2, 3)), ops.sum(share * axis[:, None], axis=(2, 3))
    wide = ops.sqrt(ops.sum(share * ops.square(axis - x[..., None, None]), axis=(2, 3)))
    high = ops.sqrt(ops.sum(share * ops.square(axis[:, None] - y[..., None, None]), axis=(2, 3)))
    entropy = -ops.sum(share * ops.log(share + 1e-9), axis=(2, 3))
    place = [_mean(wide), _mean(high), _mean(entropy), ops.std(entropy, axis=1)]
    place += [_mean(ops.abs(way[:, 1:] - way[:, :-1])) for way in (x, y)]
    place += [ops.std(x, axis=1), ops.std(y, axis=1), _mean(y), ops.abs(_mean(x))]
    return [
        *(_means(part) for part in (energy, _box(energy, 3), again)),
        ops.log(ops.stack(course, axis=-1) + 1e-3),
        ops.stack(place, axis=-1),
    ]


def _unrest(across: Any, down: Any) -> list[Any]:
    """How things move beside the camera, how suddenly that changes, and how it spreads and whirls: 26 numbers."""
    pans = [prevailing(across), prevailing(down)]
    steps = ops.abs(pans[0][:, 1:] - pans[0][:, :-1])
    camera = ops.stack([ops.mean(ops.abs(part), axis=(1, 2, 3)) for part in (*pans, steps)], axis=-1)
    across, down = across - pans[0], down - pans[1]
    speed = _length(across, down)
    jolt = _length(across[:, 1:] - across[:, :-1], down[:, 1:] - down[:, :-1])
    sudden = ops.abs(speed[:, 1:] - speed[:, :-1])
    sudden = ops.mean(ops.cast(sudden > ops.mean(sudden, axis=(2, 3), keepdims=True), "float32"), axis=1)
    u, v = _box(across, 2), _box(down, 2)
    spread, whirl = _across(u) + _down(v), _across(v) - _down(u)
    return [
        ops.log(camera + SMALLEST),
        _means(speed),
        _means(jolt),
        _means(sudden)[:, 1:],
        *(ops.take(_means(part), (1, 3, 4), axis=-1) for part in (spread, whirl)),
    ]


def _course(across: Any, down: Any) -> list[Any]:
    """Which way all moves, spreads and turns in each third of the clip, as shares of the motion: 4 numbers each."""
    axis = np.linspace(-1.0, 1.0, across.shape[2], dtype=np.float32)
    found = []
    length = across.shape[1] // THIRDS
    for start in range(0, THIRDS * length, length):
        u, v = across[:, start : start + length], down[:, start : start + length]
        speed = ops.mean(ops.abs(u) + ops.abs(v), axis=(1, 2, 3), keepdims=True) + SMALLEST
        u, v = u / speed, v / speed
        parts = (u, v, u * axis + v * axis[:, None], v * axis - u * axis[:, None])
        found.append(ops.stack([ops.mean(part, axis=(1, 2, 3)) for part in parts], axis=-1))
    return found


def _colour(small: Any, smooth: Any) -> Any:
    """The mean colour of what changes: [batch, 3], around 0."""
    change = ops.abs(smooth[:, 1:] - smooth[:, :-1])
    share = change / (ops.sum(change, axis=(1, 2, 3), keepdims=True) + 1e-6)
    colours = small[:, :, 1 : smooth.shape[2] + 1, 1 : smooth.shape[2] + 1] / 255.0 - 0.5
    return ops.sum(share[..., None] * (colours[:, 1:] + colours[:, :-1]) / 2, axis=(1, 2, 3))


def _flow(smooth: Any) -> tuple[Any, Any]:
    """Optical flow of [batch, time, side, side]: to the right and down, in pixels a frame, at half the side."""
    across, down = _across(smooth), _down(smooth)
    across, down = (across[:, 1:] + across[:, :-1]) / 2, (down[:, 1:] + down[:, :-1]) / 2
    change = (smooth[:, 1:] - smooth[:, :-1])[:, :, 1:-1, 1:-1]
    products = (across * across, down * down, across * down, across * change, down * change)
    xx, yy, xy, xt, yt = (_filtered(_filtered(_box(part, 2), _BLUR), _BLUR) for part in products)
    xx, yy = xx + STIFFNESS, yy + STIFFNESS
    determinant = xx * yy - xy * xy
    u, v = (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant
    side = u.shape[2] // 2 * 2
    return u[:, :, :side, :side], v[:, :, :side, :side]


def _normal(light: Any) -> Any:
    """Bring each clip to mean 0 and deviation 1."""
    light = light - ops.mean(light, axis=(1, 2, 3), keepdims=True)
    return light / (ops.std(light, axis=(1, 2, 3), keepdims=True) + 1.0)


def prevailing(flow: Any) -> Any:
    """What most of each frame does, near its median: [batch, time, 1, 1]. XLA would compile sorting for minutes."""
    middle = ops.mean(flow, axis=(2, 3), keepdims=True)
    for _ in range(TURNS):
        weight = 1.0 / (ops.abs(flow - middle) + 0.05)
        middle = ops.sum(weight * flow, axis=(2, 3), keepdims=True) / ops.sum(weight, axis=(2, 3), keepdims=True)
    return middle


def _filtered(picture: Any, kernel: np.ndarray) -> Any:
    """Convolve each frame; its sides lose what the kernel reaches beyond its middle."""
    time, height, width = picture.shape[1:]
    flat = ops.reshape(picture, (-1, height, width, 1))
    flat = ops.conv(flat, ops.convert_to_tensor(kernel[:, :, None, None].astype("float32")), padding="valid")
    return ops.reshape(flat, (-1, time, *flat.shape[1:3]))


def _across(picture: Any) -> Any:
    return (picture[:, :, 1:-1, 2:] - picture[:, :, 1:-1, :-2]) / 2


def _down(picture: Any) -> Any:
    return (picture[:, :, 2:, 1:-1] - picture[:, :, :-2, 1:-1]) / 2


def _box(picture: Any, by: int) -> Any:
    """Means of squares of `by` pixels; what is left over at the right and below is cut off."""
    side = picture.shape[2] // by * by
    return shrunk(picture[:, :, :side, :side, None], by)[..., 0]


def _length(across: Any, down: Any) -> Any:
    return ops.sqrt(ops.square(across) + ops.square(down) + 1e-8)


def _mean(course: Any) -> Any:
    return ops.mean(course, axis=1)


def _means(values: Any) -> Any:
    """Logarithms of the power means of all values of a clip, and of the greatest: [batch, 6].

    The higher the power, the more the few great values count: they tell of tails as quantiles do.
    """
    count = int(np.prod(values.shape[1:]))
    flat = ops.abs(ops.reshape(values, (-1, count)))
    mean = ops.mean(flat, axis=1, keepdims=True) + 1e-3
    share = flat / mean
    found = [mean[:, 0] * ops.power(ops.mean(ops.power(share, power), axis=1), 1 / power) for power in POWERS]
    return ops.log(ops.stack([*found, ops.max(flat, axis=1)], axis=-1) + SMALLEST)
