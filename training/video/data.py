"""Clips for the classifier: a folder of them or generated camera motion, batched and varied."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets import camera_motion
from training.datasets.clip_store import Clips, Frames
from training.datasets.clips import describe, find_clips, load_clips

GENERATED = {"train": 4000, "valid": 512, "test": 1000}

Vary = Callable[[np.random.Generator, Frames, int], tuple[Frames, int]]
"""Makes another clip of one, with its label: (rng, frames, label) to (frames, label)."""


@dataclass(frozen=True)
class Videos:
    """Class names, and the splits that were asked for; whether the clips were generated."""

    classes: tuple[str, ...]
    splits: Mapping[str, Clips]
    generated: bool


def load(
    folder: Path | None,
    *,
    cache: Path,
    seed: int = 0,
    workers: int = 2,
    sizes: Mapping[str, int] = GENERATED,
) -> Videos:
    """Load the clips below `folder`, or make those of camera motion; the frames are kept in the folder `cache`.

    folder: may also name a prepared dataset, such as labelled_clips/fights.
    sizes: how many clips of camera motion to make for each split. Without a folder only these splits are made;
    with one, only the splits named here are decoded, where they are there.
    """
    if folder is None:
        made = {
            split: camera_motion.generated_clips(split, size, seed=seed, cache=cache, workers=workers)
            for split, size in sizes.items()
        }
        return Videos(camera_motion.CLASSES, made, generated=True)
    classes, splits = describe(folder)
    wanted = [split for split in splits if split in sizes]
    read = {split: load_clips(folder, split, cache=cache, workers=workers) for split in wanted}
    return Videos(classes, read, generated=False)


def load_over(folder: Path, split: str, count: int, *, cache: Path, seed: int = 0, workers: int = 2) -> Videos:
    """Make `count` clips of camera motion over single frames of the clips in one split of `folder`."""
    files = [str(path) for path, _ in find_clips(folder)[1].get(split, [])]
    if not files:
        raise ValueError(f"expected clips in the split {split!r} of {folder}. Received: none")
    made = camera_motion.clips_over(files, count, seed=seed, store=cache / split, workers=workers)
    return Videos(camera_motion.CLASSES, {split: made}, generated=True)


def with_test(videos: Videos, name: str, others: Videos) -> Videos:
    """Give `videos` the test clips of `others`, whose classes are the same, as a split of that name."""
    if others.classes != videos.classes:
        raise ValueError(f"expected clips of the classes {videos.classes}. Received: {others.classes}")
    return replace(videos, splits={**videos.splits, name: others.splits["test"]})


@dataclass(frozen=True)
class Collate:
    """Makes batches (frames uint8 [batch, 16, 112, 112, 3], labels int32 [batch]) of `clips`."""

    clips: Clips
    vary: Vary | None = None

    def __call__(
        self, indices: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        frames = np.empty((len(indices), *self.clips.frames.shape[1:]), np.uint8)
        labels = self.clips.labels[indices]
        for row, index in enumerate(indices):
            clip = self.clips.frames[index]
            if self.vary is not None:
                clip, labels[row] = self.vary(rng, clip, int(labels[row]))
            frames[row] = clip
        return frames, labels


def mirrored_labels(classes: Sequence[str]) -> tuple[int, ...]:
    """Give the label that the mirror image of a clip has, for each label.

    A class whose name holds the word "left" or "right" becomes the class named with the other. Raises ValueError
    where there is no such class: then no mirror image of its clips may be learnt from.
    """
    other = {"left": "right", "right": "left"}
    labels = []
    for name in classes:
        image = re.sub(r"(?<![a-z])(left|right)(?![a-z])", lambda found: other[found.group()], name)
        if image not in classes:
            raise ValueError(
                f"expected a class {image!r}, the mirror image of {name!r}. Received: {', '.join(classes)}"
            )
        labels.append(classes.index(image))
    return tuple(labels)


@dataclass(frozen=True)
class Variation:
    """How far a copy of a clip may stray from it; all frames of a clip stray alike.

    mirror: for each label that of the mirror image, or None where a mirror image is no example of any class;
    crop: the least share of a side that is kept; speed: the least share of the clip's time that is kept, and played
    more slowly; brightness and contrast: the greatest change, as shares of the full range and of the clip's contrast.
    """

    mirror: Sequence[int] | None = None
    crop: float = 0.75
    speed: float = 0.8
    brightness: float = 0.15
    contrast: float = 0.3

    def __post_init__(self) -> None:
        for name in ("crop", "speed"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"expected {name} above 0, up to 1. Received: {getattr(self, name)}")
        for name in ("brightness", "contrast"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"expected {name} from 0 up to 1. Received: {getattr(self, name)}")

    def __call__(self, rng: np.random.Generator, frames: Frames, label: int) -> tuple[Frames, int]:
        span = (len(frames) - 1) * rng.uniform(self.speed, 1.0)
        start = rng.uniform(0.0, len(frames) - 1 - span)
        varied = frames[np.rint(np.linspace(start, start + span, len(frames))).astype(np.int64)]
        if self.crop < 1:
            varied = varied.astype(np.float32)
            for axis in (1, 2):
                varied = _zoom(varied, axis, rng.uniform(self.crop, 1.0), rng.random())
        if self.contrast or self.brightness:
            gain = 1.0 + rng.uniform(-self.contrast, self.contrast)
            shift = 127.5 * (1.0 - gain) + 255.0 * rng.uniform(-self.brightness, self.brightness)
            varied = varied * np.float32(gain) + np.float32(shift)
        if self.mirror is not None and rng.random() < 0.5:
            varied, label = varied[:, :, ::-1], self.mirror[label]
        return varied if varied.dtype == np.uint8 else np.clip(np.rint(varied), 0, 255).astype(np.uint8), label


def _zoom(frames: NDArray[np.float32], axis: int, share: float, place: float) -> NDArray[np.float32]:
    """Stretch a share of one axis, which starts at `place` (0 to 1) of what is left over, to its whole length."""
    side = frames.shape[axis]
    at = (side - 1) * (place * (1.0 - share) + share * np.linspace(0.0, 1.0, side))
    below = np.minimum(at.astype(np.int64), side - 2)
    weight = (at - below).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(frames.ndim)])
    low, high = frames.take(below, axis), frames.take(below + 1, axis)
    return low + weight * (high - low)
