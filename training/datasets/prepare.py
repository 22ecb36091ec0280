"""Prepares one dataset with TensorFlow Datasets: downloads or reads its source, and writes records of it."""

import contextlib
import difflib
import fcntl
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from training.datasets import prepared

ABOUT = {
    "sketch_rnn": "Drawings of Quick, Draw! by class: all 345, or a theme, such as sketch_rnn/animals. Downloads.",
    "daily_series": "CSV files of daily values, as daily_series/NAME. Wants --from.",
    "labelled_clips": "Folders of clips by class, as labelled_clips/NAME. Wants --from.",
    "ucf101": "13,320 clips of 101 human actions, from TensorFlow Datasets. Downloads 7 GB; wants ffmpeg.",
    "quickdraw_bitmap": "50 million drawings as 28 x 28 pictures, from TensorFlow Datasets. Downloads 37 GB.",
}
# One file of each, to ask for before TensorFlow Datasets does, which tries in vain for minutes.
_FIRST = {
    "sketch_rnn": "https://storage.googleapis.com/quickdraw_dataset/sketchrnn/cat.npz",
    "quickdraw_bitmap": "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/cat.npy",
    "ucf101": "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",
}
_LOCAL = ("daily_series", "labelled_clips")
_OURS = ("sketch_rnn", *_LOCAL)


def prepare(name: str, *, source: Path | None = None, data_dir: Path | None = None, anew: bool = False) -> Path:
    """Prepare the dataset `name`, unless it is, and return its version's folder.

    Records appear as a whole or not at all. What a killed preparation left is removed, but for the files that it had
    downloaded, which are not downloaded again.

    name: such as sketch_rnn/animals. source: the folder or file to read. data_dir: the folder of prepared datasets.
    anew: prepare it again where it is prepared; what there was stays where that fails.

    Raises:
        ValueError: there is no such dataset, or the source is not what it wants; the message says what is wrong.
        ConnectionError: the address of the files cannot be reached.
    """
    dataset, config = _parsed(name, source)
    folder = data_dir or prepared.data_dir()
    if dataset == "ucf101" and not shutil.which("ffmpeg") and not list(folder.glob("ucf101/*/*")):
        raise ValueError("Expected ffmpeg on PATH, by which TensorFlow Datasets decodes ucf101. Received: none")
    builder = _builder(dataset, config, source, folder)
    version = Path(builder.data_dir)
    with _alone(version.parent):
        for left in version.parent.glob(f"incomplete.*_{version.name}"):
            shutil.rmtree(left)
        with _set_aside(version, anew=anew):
            if anew:
                builder = _builder(dataset, config, source, folder)  # the one before has read what is set aside
            if not version.is_dir() and source is None and dataset not in _LOCAL:
                _reach(dataset)
            _prepare(builder, dataset)
    return version


@contextlib.contextmanager
def _set_aside(version: Path, *, anew: bool) -> Iterator[None]:
    """With `anew`, put a version out of the way, and back if nothing whole has taken its place by the end.

    One that a killed preparation had set aside is put back first.
    """
    aside = version.with_name(f".{version.name}-before")
    _put_back(aside, version)
    if anew and version.is_dir():
        version.rename(aside)
    try:
        yield
    finally:
        _put_back(aside, version)


def _put_back(aside: Path, version: Path) -> None:
    if version.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    elif aside.is_dir():
        aside.rename(version)


def _parsed(name: str, source: Path | None) -> tuple[str, str | None]:
    """Dataset and configuration; the latter is named for the source where it is not given."""
    dataset, _, config = name.partition("/")
    if dataset not in prepared.NAMES:
        near = difflib.get_close_matches(dataset, prepared.NAMES, n=2, cutoff=0.4) or prepared.NAMES
        raise ValueError(f"Expected the name of a dataset, such as {' or '.join(near)}. Received: {name}")
    if source is not None and dataset not in _OURS:
        raise ValueError(f"Expected no --from for {dataset}, which TensorFlow Datasets downloads. Received: {source}")
    if source is not None and not source.exists():
        raise ValueError(f"Expected a folder or file to read {dataset} from. Received: {source}, which is not there")
    if dataset in _LOCAL:
        if source is None:
            raise ValueError(f"Expected --from and the folder that holds the data of {dataset}. Received: none")
        config = config or source.resolve().stem
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", config):
            raise ValueError(
                f"Expected a name of letters, digits, _ and -: give one as {dataset}/NAME. Received: {config}"
            )
    return dataset, config or None


def _builder(dataset: str, config: str | None, source: Path | None, data_dir: Path) -> Any:
    import absl.logging
    import tensorflow_datasets as tfds

    from training.datasets import builders

    absl.logging.set_verbosity(absl.logging.ERROR)  # it warns of what it does itself
    tfds.display_progress_bar(sys.stderr.isatty())
    if dataset in _LOCAL:
        made = builders.DailySeries if dataset == "daily_series" else builders.LabelledClips
        return made(data_dir=data_dir, config=tfds.core.BuilderConfig(name=config), source=source)
    known = list(tfds.builder_cls(dataset).builder_configs)
    if config is not None and config not in known:
        near = difflib.get_close_matches(config, known, n=3, cutoff=0.4) or known
        raise ValueError(f"Expected a configuration of {dataset}, such as {', '.join(near)}. Received: {config}")
    options = {"source": source} if dataset == "sketch_rnn" else {}
    return tfds.builder(dataset, data_dir=data_dir, config=config, **options)


def _reach(dataset: str) -> None:
    import requests

    try:
        requests.head(_FIRST[dataset], timeout=30)
    except requests.RequestException as error:
        raise _unreachable(dataset, error) from error


def _prepare(builder: Any, dataset: str) -> None:
    import requests
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        builder.download_and_prepare()
    except (requests.RequestException, DownloadError) as error:
        raise _unreachable(dataset, error) from error
    except RuntimeError as error:  # as TensorFlow Datasets wraps what goes wrong in a builder
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from error
        raise


def _unreachable(dataset: str, error: Exception) -> ConnectionError:
    copy = ", or copy the files by hand and give their folder as --from" if dataset == "sketch_rnn" else ""
    return ConnectionError(
        f"Expected to reach the files of {dataset}; what has been downloaded is kept, so try again{copy}. "
        f"Received: {error}"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from preparing the same dataset at the same time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        _wait(lock, folder)
        yield


def _wait(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that prepares {folder.name}", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
