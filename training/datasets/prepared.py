"""Datasets that `python -m training data` has prepared: where they lie, what is in them, how they are read.

They are those of TensorFlow Datasets, `<data dir>/<name>[/<config>]/<version>/`, where the data dir is
`TFDS_DATA_DIR` or else `~/tensorflow_datasets`, as it is there.
"""

import difflib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

FAMILIES = {"sketch_rnn": "sketchrnn", "daily_series": "forecaster", "labelled_clips": "video", "ucf101": "video"}
"""Which family learns from which dataset."""
NAMES = (*FAMILIES, "quickdraw_bitmap")
INFO = "dataset_info.json"


def data_dir() -> Path:
    """The folder that holds prepared datasets, where none is given."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def locate(data: Path, *names: str) -> Path | None:
    """The version's folder of the prepared dataset that a name or a path means; None for any other path.

    A path that exists goes before a name. names: those of the datasets that are wanted; none for any.

    Raises:
        ValueError: the dataset that is named is not prepared, in several configurations, or not of those wanted.
    """
    if data.exists():
        version = data if (data / INFO).is_file() else _only(data, _versions(data))
    else:
        name = data.parts[0] if data.parts and not data.is_absolute() else ""
        if name not in NAMES:
            _refuse_misspelt(data, name)
            return None
        version = _only(data, _versions(data_dir() / data))
        if version is None:
            there = ", ".join(versions()) or "nothing yet"
            raise ValueError(
                f"Expected a prepared dataset: python -m training data {data.as_posix()} prepares it. "
                f"Received: {data.as_posix()}; in {data_dir()} there is {there}"
            )
    if version is not None and names and (found := about(version)["name"]) not in names:
        raise ValueError(f"Expected data of {' or '.join(names)}. Received: {data}, which is {found}")
    return version


def versions(folder: Path | None = None) -> dict[str, Path]:
    """Every prepared dataset in a data dir by its name, such as sketch_rnn/animals: the newest version's folder."""
    folder = folder or data_dir()
    found = {name: _versions(folder / name) for name in NAMES}
    return {
        name if config == "" else f"{name}/{config}": version
        for name, configs in found.items()
        for config, version in configs.items()
    }


def about(version: Path) -> dict[str, Any]:
    """What TensorFlow Datasets has noted about a prepared dataset."""
    noted: dict[str, Any] = json.loads((version / INFO).read_text(encoding="utf-8"))
    return noted


def counts(version: Path) -> dict[str, int]:
    """How many examples each split holds."""
    return {split["name"]: sum(int(n) for n in split["shardLengths"]) for split in about(version)["splits"]}


def labels(version: Path) -> list[str]:
    """The names of the classes, in order."""
    return (version / "label.labels.txt").read_text(encoding="utf-8").splitlines()


def examples(version: Path, split: str, decoders: Mapping[str, Any] | None = None) -> "tf.data.Dataset":
    """The examples of one split, a dictionary each, always in the same order; `split` may be a slice of one."""
    name = split.partition("[")[0]
    if not counts(version).get(name):
        raise ValueError(f"Expected a split among {', '.join(counts(version))} of {version}. Received: {split!r}")
    import absl.logging
    import tensorflow_datasets as tfds  # brings TensorFlow

    absl.logging.set_verbosity(absl.logging.ERROR)  # it warns of what it does itself
    return tfds.builder_from_directory(version).as_dataset(split=split, decoders=decoders)


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` once it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield partial
        if not folder.exists():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _versions(folder: Path) -> dict[str, Path]:
    """The newest version of every configuration below a folder; one without configurations has the name ""."""
    found: dict[str, list[Path]] = {}
    for depth in ("*", "*/*"):
        for info in folder.glob(f"{depth}/{INFO}"):
            if all(part.isdigit() for part in info.parent.name.split(".")):
                config = info.parent.parent.relative_to(folder).as_posix()
                found.setdefault("" if config == "." else config, []).append(info.parent)
    return {config: max(those, key=_number) for config, those in sorted(found.items())}


def _number(version: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in version.name.split("."))


def _only(data: Path, found: Mapping[str, Path]) -> Path | None:
    if len(found) > 1:
        raise ValueError(f"Expected one of the configurations {', '.join(found)}. Received: {data.as_posix()} alone")
    return next(iter(found.values()), None)


def _refuse_misspelt(data: Path, name: str) -> None:
    if near := difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8):
        raise ValueError(f"Expected a path, or the name of a dataset such as {near[0]}. Received: {data}")
