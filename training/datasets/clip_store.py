"""Clips as one array on disk: made once by worker processes, mapped into memory ever after."""

import hashlib
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

FRAMES = 16
SIDE = 112

Frames = NDArray[np.uint8]  # [frames, height, width, 3], RGB
Source = TypeVar("Source")
Item = TypeVar("Item", covariant=True)


class Sources(Protocol[Item]):
    """What clips are made of, each with its label: a list, or a stream that knows its length."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Item, int]]: ...


class ClipError(ValueError):
    """A clip or a folder of clips cannot be read; the message names it."""


@dataclass(frozen=True)
class Clips:
    """The clips of one split.

    frames: uint8 [clips, 16, 112, 112, 3], memory-mapped; labels: int32 [clips], indices into `classes`;
    broken: for each clip that could not be made and was left out, a message that names it.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def make_clips(
    make: Callable[[Source], Frames],
    sources: Sources[Source],
    classes: Sequence[str],
    *,
    store: Path,
    key: Any,
    workers: int,
) -> Clips:
    """Make a clip of each (source, label), or map those that an earlier call with the same `key` has stored.

    store: path without suffix; the frames go to `<store>.npy`, the rest to `<store>.json`. make: picklable,
    as it runs in `workers` processes; a ClipError that it raises leaves that clip out. key: anything JSON can
    hold that changes when the clips do.
    """
    frames_file, index_file = store.with_suffix(".npy"), store.with_suffix(".json")
    digest = hashlib.sha256(json.dumps([key, list(classes), FRAMES, SIDE]).encode()).hexdigest()
    if index_file.is_file() and frames_file.is_file():
        index = json.loads(index_file.read_text())
        if index["digest"] == digest:
            frames = np.load(frames_file, mmap_mode="r")[: len(index["labels"])]
            return Clips(frames, np.array(index["labels"], np.int32), tuple(classes), tuple(index["broken"]))

    store.parent.mkdir(parents=True, exist_ok=True)
    index_file.unlink(missing_ok=True)
    partial_file = store.with_suffix(f".{os.getpid()}.part")
    shape = (len(sources), FRAMES, SIDE, SIDE, 3)
    array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
    labels: list[int] = []
    broken: list[str] = []
    try:
        for outcome, label in _run(make, sources, workers):
            if isinstance(outcome, str):
                broken.append(outcome)
            else:
                array[len(labels)] = outcome
                labels.append(label)
        array.flush()
        partial_file.replace(frames_file)
    finally:
        partial_file.unlink(missing_ok=True)
    index_file.write_text(json.dumps({"digest": digest, "labels": labels, "broken": broken}))
    frames = np.load(frames_file, mmap_mode="r")[: len(labels)]
    return Clips(frames, np.array(labels, np.int32), tuple(classes), tuple(broken))


def _run(
    make: Callable[[Source], Frames], sources: Sources[Source], workers: int
) -> Iterator[tuple[Frames | str, int]]:
    """Give the clip, or the message that says why there is none, and the label for each source in order."""
    task = partial(_attempt, make)
    if workers < 2 or len(sources) < 2:
        yield from ((task(source), label) for source, label in sources)
        return
    # Spawned, not forked: TensorFlow's threads may be running by now, and a fork would copy their locks.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[tuple[Future[Frames | str], int]] = deque()
        for source, label in sources:
            waiting.append((pool.submit(task, source), label))
            if len(waiting) >= 4 * workers:  # no more than that in memory
                yield _outcome(waiting)
        while waiting:
            yield _outcome(waiting)


def _outcome(waiting: "deque[tuple[Future[Frames | str], int]]") -> tuple[Frames | str, int]:
    future, label = waiting.popleft()
    return future.result(), label


def _attempt(make: Callable[[Source], Frames], source: Source) -> Frames | str:
    try:
        return make(source)
    except ClipError as error:
        return str(error)
