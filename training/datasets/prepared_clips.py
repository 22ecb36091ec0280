"""Clips of prepared datasets: our `labelled_clips`, and `ucf101` of TensorFlow Datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.datasets import prepared
from training.datasets.clip_store import Clips, Sources, make_clips
from training.datasets.decoding import Encoded, Jpegs, decode_clip, decode_jpegs, sample_indices

NAMES = ("labelled_clips", "ucf101")
# UCF101 has no split to validate on. A tenth of `train` drawn at random shares its source videos with the rest,
# so that it flatters; `test` shares none.
_UCF101 = {"train": "train[:90%]", "valid": "train[90%:]", "test": "test"}


def splits(version: Path) -> tuple[str, ...]:
    """The splits of a prepared dataset that hold clips."""
    return tuple(_UCF101) if _is_ucf101(version) else tuple(name for name, n in prepared.counts(version).items() if n)


def load(version: Path, split: str, classes: tuple[str, ...], *, store: Path, workers: int) -> Clips:
    """Decode one split, or map what an earlier call has stored; what does not decode is in `broken`."""
    about = prepared.about(version)
    key = [about["name"], about.get("configName"), about["version"], about["splits"], split]
    sources, make = encoded(version, split), decode_jpegs if _is_ucf101(version) else decode_clip
    return make_clips(make, sources, classes, store=store, key=key, workers=workers)


def encoded(version: Path, split: str) -> Sources[Any]:
    """The clips of a split with their labels, not decoded, read as they are asked for."""
    return _Ucf101(version, split) if _is_ucf101(version) else _Files(version, split)


def _is_ucf101(version: Path) -> bool:
    return bool(prepared.about(version)["name"] == "ucf101")


class _Files:
    """The encoded clips of a split with their labels, read as they are asked for."""

    def __init__(self, version: Path, split: str) -> None:
        self.examples = prepared.examples(version, split)

    def __len__(self) -> int:
        return int(self.examples.cardinality())

    def __iter__(self) -> Iterator[tuple[Encoded, int]]:
        for example in self.examples.as_numpy_iterator():
            yield Encoded(example["file"].decode(), example["clip"]), int(example["label"])


class _Ucf101:
    """Of each clip of a split only the frames that are wanted, still encoded, with the label."""

    def __init__(self, version: Path, split: str) -> None:
        import tensorflow_datasets as tfds

        self.examples = prepared.examples(version, _UCF101[split], {"video": tfds.decode.SkipDecoding()})

    def __len__(self) -> int:
        return int(self.examples.cardinality())

    def __iter__(self) -> Iterator[tuple[Jpegs, int]]:
        for place, example in enumerate(self.examples.as_numpy_iterator()):
            frames = example["video"]
            yield Jpegs(f"clip {place}", tuple(frames[sample_indices(len(frames))])), int(example["label"])
