"""Drawings in the official sketch-rnn layout, or as prepared from it, batches of them, and a hand's variation."""

from dataclasses import dataclass

import numpy as np

from training.datasets.drawings import MAX_POINTS, Drawings
from training.datasets.drawings import SPLITS as SPLITS
from training.datasets.drawings import Sketches as Sketches
from training.datasets.drawings import load as load

BUCKETS = (32, 64, 128, MAX_POINTS)  # half of all drawings have up to 37 points, 99.9 % up to 232


@dataclass(frozen=True)
class Augmentation:
    """How far a copy of a drawing may stray: each drawing draws its own numbers, uniform within these bounds."""

    rotation: float = 0.2  # radians
    stretch: float = 0.2  # of width against height
    shear: float = 0.15
    flip: float = 0.3  # probability of a mirror image
    drop: float = 0.15  # share of points inside strokes left out, at most
    jitter: float = 0.012  # standard deviation, as a share of the drawing's longer side, at most
    drop_strokes: float = 0.0  # share of strokes after the first left out, at most

    def __call__(self, strokes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vary drawings [batch, time, 3] padded with zeros at the right; the time axis may come out shorter."""
        batch, time, _ = strokes.shape
        live = (strokes != 0).any(axis=2)
        lengths = np.maximum(time - np.argmax(live[:, ::-1], axis=1), 1)
        lifted = strokes[..., 2] > 0.5
        position = np.cumsum(strokes[..., :2], axis=1) @ self._transforms(batch, rng)
        extent = np.ptp(position, axis=1).max(axis=1)
        position += rng.normal(size=position.shape) * (self.jitter * rng.uniform(size=batch) * extent)[:, None, None]

        points = np.arange(time) < lengths[:, None]
        dropped = rng.uniform(size=(batch, time)) < rng.uniform(0, self.drop, size=(batch, 1))
        last = np.arange(time) == lengths[:, None] - 1
        kept = points & (~dropped | lifted | last)
        if self.drop_strokes:
            kept &= ~self._dropped_strokes(lifted, rng)
        order = np.argsort(~kept, axis=1, kind="stable")
        count = kept.sum(axis=1)
        position = np.take_along_axis(position, order[..., None], axis=1)
        offsets = np.diff(position, axis=1, prepend=0.0)
        out = np.concatenate([offsets, np.take_along_axis(lifted, order, axis=1)[..., None]], axis=2)
        out[np.arange(time) >= count[:, None]] = 0.0
        return out[:, : count.max()].astype(np.float32)

    def _dropped_strokes(self, lifted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which points belong to strokes that are left out; the first stays, as the pen is down at the origin."""
        batch, time = lifted.shape
        stroke = np.cumsum(lifted, axis=1) - lifted
        out = rng.uniform(size=(batch, time)) < rng.uniform(0, self.drop_strokes, size=(batch, 1))
        out[:, 0] = False
        return np.take_along_axis(out, stroke, axis=1)

    def _transforms(self, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Rotation after shear after stretch after mirror, as matrices [batch, 2, 2]."""
        angle = rng.uniform(-self.rotation, self.rotation, batch)
        width = rng.uniform(1 - self.stretch, 1 + self.stretch, batch)
        width *= np.where(rng.uniform(size=batch) < self.flip, -1.0, 1.0)
        shear = rng.uniform(-self.shear, self.shear, batch)
        zero, one = np.zeros(batch), np.ones(batch)
        affine = np.moveaxis(np.array([[width, zero], [shear, one]]), 2, 0)
        turn = np.moveaxis(np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]), 2, 0)
        return affine @ turn


@dataclass(frozen=True)
class Collate:
    """Makes batches (strokes float32 [batch, time, 3], labels int32 [batch]) of `drawings`."""

    drawings: Drawings
    augmentation: Augmentation | None = None

    def __call__(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        strokes = self.drawings.padded(indices)
        if self.augmentation is not None:
            strokes = self.augmentation(strokes, rng)
        return strokes, self.drawings.labels[indices]
