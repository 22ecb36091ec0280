"""Drawings: from a folder in the official sketch-rnn layout, or from a dataset that was prepared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.datasets import prepared
from training.datasets.quickdraw_files import NoNumbersError, read_arrays

SPLITS = ("train", "valid", "test")
MAX_POINTS = 256


@dataclass(frozen=True)
class Drawings:
    """Drawings of one split: rows (dx, dy, pen lifted), one after the other in `points`, and a label for each."""

    points: np.ndarray  # float32, or int16 as in the files, [rows, 3]
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
    drawing are kept. Instead of a folder, `folder` may name a prepared dataset such as sketch_rnn/animals.

    Raises:
        ValueError: the folder has another layout; the message names the file and what is wrong with it.
    """
    if version := prepared.locate(folder, "sketch_rnn"):
        return _read_prepared(version, splits)
    if not folder.is_dir():
        raise ValueError(f"Expected a folder of <class>.npz files in the sketch-rnn layout. Received: {folder}")
    classes = list_classes(folder)
    drawings: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    labels: dict[str, list[int]] = {split: [] for split in splits}
    for label, name in enumerate(classes):
        for split, found in read_file(folder / f"{name}.npz", splits).items():
            drawings[split] += [drawing[:MAX_POINTS] for drawing in found]
            labels[split] += [label] * len(found)
    for split, found in drawings.items():
        if not found:
            raise ValueError(f"Expected drawings in split {split!r} of {folder}. Received: none")
    return Sketches(classes, {split: Drawings.of(drawings[split], labels[split]) for split in splits})


def list_classes(folder: Path) -> list[str]:
    """The classes of a folder of `<class>.npz` files, in the order of `categories.txt` where there is one."""
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


def read_file(path: Path, splits: Sequence[str] = SPLITS) -> dict[str, list[np.ndarray]]:
    """The drawings of one `<class>.npz` file, by split, each of shape [points, 3] and as long as it is there.

    Raises:
        ValueError: the file is no such file; the message names it and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            arrays = read_arrays(file, splits)
    except NoNumbersError as error:
        raise ValueError(f"Expected each drawing in {path} to be numbers. Received: {error}") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"Expected {path} to be an .npz file of drawings. Received: {error}") from error
    except KeyError as error:
        raise ValueError(f"Expected arrays {', '.join(splits)} in {path}. Received: no {error.args[0]}") from error
    for split, drawings in arrays.items():
        for drawing in drawings:
            _check(path, split, drawing)
    return arrays


def _check(path: Path, split: str, array: np.ndarray) -> None:
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise ValueError(
            f"Expected each drawing in {split} of {path} to be numbers of shape [points, 3] "
            f"(dx, dy, pen lifted). Received: {array.dtype} of shape {list(array.shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"Expected finite offsets in {split} of {path}. Received: NaN or infinity")


def _read_prepared(version: Path, splits: Sequence[str]) -> Sketches:
    """Drawings of a prepared `sketch_rnn`, unpacked once into plain arrays beside it and mapped from there."""
    classes = prepared.labels(version)
    return Sketches(classes, {split: _mapped(version, split) for split in splits})


def _mapped(version: Path, split: str) -> Drawings:
    folder = version / f"unpacked-{MAX_POINTS}" / split
    if not folder.is_dir():
        with prepared.written(folder) as partial:
            for name, array in _unpack(version, split).items():
                np.save(partial / f"{name}.npy", array)
    points, starts, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("points", "starts", "labels"))
    return Drawings(np.asarray(points), np.asarray(starts), np.asarray(labels))


def _unpack(version: Path, split: str) -> dict[str, np.ndarray]:
    examples = prepared.examples(version, split)
    short = examples.map(lambda example: (example["strokes"][:MAX_POINTS], example["label"]))
    parts = [(strokes, labels.numpy()) for strokes, labels in short.ragged_batch(4096)]
    lengths = np.concatenate([strokes.row_lengths().numpy() for strokes, _ in parts])
    return {
        "points": np.concatenate([strokes.values.numpy() for strokes, _ in parts]),
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "labels": np.concatenate([labels for _, labels in parts]).astype(np.int32),
    }
