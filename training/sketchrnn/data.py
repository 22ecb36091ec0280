"""Drawings in the official sketch-rnn layout, batches of them, and a hand's variation as augmentation."""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "valid", "test")
MAX_POINTS = 256
BUCKETS = (32, 64, 128, MAX_POINTS)  # half of all drawings have up to 37 points, 99.9 % up to 232


@dataclass(frozen=True)
class Drawings:
    """Drawings of one split: rows (dx, dy, pen lifted), one after the other in `points`, and a label for each."""

    points: np.ndarray  # float32 [rows, 3]
    starts: np.ndarray  # int64 [drawings + 1]: drawing i is points[starts[i]:starts[i + 1]]
    labels: np.ndarray  # int32 [drawings]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.points[self.starts[i] : self.starts[i + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    @classmethod
    def of(cls, drawings: Sequence[np.ndarray], labels: Sequence[int]) -> "Drawings":
        starts = np.cumsum([0, *(len(drawing) for drawing in drawings)])
        points = np.concatenate(drawings).astype(np.float32) if drawings else np.zeros((0, 3), np.float32)
        return cls(points, starts, np.asarray(labels, np.int32))

    def padded(self, indices: np.ndarray, buckets: Sequence[int] = ()) -> np.ndarray:
        """These drawings as float32 [batch, time, 3], zeros up to the longest or the bucket that holds it."""
        longest = int(self.lengths[indices].max())
        longest = next((bucket for bucket in buckets if bucket >= longest), longest)
        batch = np.zeros((len(indices), longest, 3), np.float32)
        for row, i in zip(batch, indices, strict=True):
            drawing = self[i]
            row[: len(drawing)] = drawing
        return batch


@dataclass(frozen=True)
class Sketches:
    """Class names, and the three splits."""

    classes: Sequence[str]
    splits: Mapping[str, Drawings]


def load(folder: Path, splits: Sequence[str] = SPLITS) -> Sketches:
    """Read `<class>.npz` files, each with arrays train, valid and test of int [n, 3] drawings.

    Classes are in the order of `categories.txt` where there is one, else sorted. Only the first 256 points of a
    drawing are kept.

    Raises:
        ValueError: the folder has another layout; the message names the file and what is wrong with it.
    """
    if not folder.is_dir():
        raise ValueError(f"Expected a folder of <class>.npz files in the sketch-rnn layout. Received: {folder}")
    classes = _classes(folder)
    drawings: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    labels: dict[str, list[int]] = {split: [] for split in splits}
    for label, name in enumerate(classes):
        for split, found in _read(folder / f"{name}.npz", splits).items():
            drawings[split] += found
            labels[split] += [label] * len(found)
    for split, found in drawings.items():
        if not found:
            raise ValueError(f"Expected drawings in split {split!r} of {folder}. Received: none")
    return Sketches(classes, {split: Drawings.of(drawings[split], labels[split]) for split in splits})


def _classes(folder: Path) -> list[str]:
    present = sorted(path.stem for path in folder.glob("*.npz"))
    if not present:
        raise ValueError(f"Expected <class>.npz files in the sketch-rnn layout in {folder}. Received: none")
    listing = folder / "categories.txt"
    if not listing.exists():
        return present
    listed = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    differing = sorted(set(listed) ^ set(present))
    if differing or len(set(listed)) != len(listed):
        raise ValueError(
            f"Expected {listing} to name each <class>.npz beside it once. "
            f"Received: {len(listed)} names, {len(present)} files, differing in {differing[:5]}"
        )
    return listed


def _read(path: Path, splits: Sequence[str]) -> dict[str, list[np.ndarray]]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"Expected {path} to be an .npz file of drawings. Received: another kind of file")
    try:
        # Arrays of drawings are object arrays, hence pickled: read only files that you trust.
        with np.load(path, allow_pickle=True, encoding="latin1") as file:
            arrays = {split: file[split] for split in splits}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"Expected {path} to be an .npz file of drawings. Received: {error}") from error
    except KeyError as error:
        raise ValueError(f"Expected arrays {', '.join(splits)} in {path}. Received: {error.args[0]}") from error
    return {split: [_checked(path, split, drawing) for drawing in array] for split, array in arrays.items()}


def _checked(path: Path, split: str, drawing: object) -> np.ndarray:
    array = np.asarray(drawing)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"Expected each drawing in {split} of {path} to be numbers of shape [points, 3] "
            f"(dx, dy, pen lifted). Received: {array.dtype} of shape {list(array.shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"Expected finite offsets in {split} of {path}. Received: NaN or infinity")
    return array[:MAX_POINTS]


@dataclass(frozen=True)
class Augmentation:
    """How far a copy of a drawing may stray: each drawing draws its own numbers, uniform within these bounds."""

    rotation: float = 0.2  # radians
    stretch: float = 0.2  # of width against height
    shear: float = 0.15
    flip: float = 0.3  # probability of a mirror image
    drop: float = 0.15  # share of points inside strokes left out, at most
    jitter: float = 0.012  # standard deviation, as a share of the drawing's longer side, at most

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
        order = np.argsort(~kept, axis=1, kind="stable")
        count = kept.sum(axis=1)
        position = np.take_along_axis(position, order[..., None], axis=1)
        offsets = np.diff(position, axis=1, prepend=0.0)
        out = np.concatenate([offsets, np.take_along_axis(lifted, order, axis=1)[..., None]], axis=2)
        out[np.arange(time) >= count[:, None]] = 0.0
        return out[:, : count.max()].astype(np.float32)

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
