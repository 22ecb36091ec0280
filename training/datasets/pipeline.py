"""Feeds batches to a fit ahead of its steps: by tf.data under TensorFlow, by threads under other backends.

Which batches there are, and what is in them, follows from (seed, epoch, place) alone, whoever makes them and when. So
a run that resumes sees what it would have seen.
"""

import functools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

KEPT_BYTES = 256 * 2**20


class Batched(Protocol):
    """Batches by place: those of the epoch that is set, or always the same without `shuffle`.

    lengths: of the examples, where these have an axis of time, the second; None where all are of one shape.
    """

    shuffle: bool
    epoch: int
    lengths: np.ndarray | None

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> tuple[Any, Any]: ...


def feed(batches: Batched) -> Any:
    """What `keras.Model.fit` takes to have the batches made ahead of its steps.

    Each time that it is gone through, it gives the batches of the epoch that is set by then, in order.
    """
    return dataset(batches) if keras.backend.backend() == "tensorflow" else ReadAhead(batches)


def dataset(batches: Batched) -> "tf.data.Dataset":
    """The batches as a dataset of tf.data: several are made at once, and some are always ready.

    They come shuffled and bucketed by length. Batches that are always the same, as those to validate on are, are kept
    after the first time, where they are small. Axes in which the first two batches differ have no fixed length, and nor
    has the axis of time where other epochs have other batches.
    """
    import tensorflow as tf

    specs = _specs(batches)
    flat = tf.nest.flatten(specs)

    def make(place: tf.Tensor) -> Any:
        # No tf ops: augmentation is numpy's, which lets other threads run while it computes.
        made = tf.numpy_function(lambda at: _arrays(batches[int(at)]), [place], [spec.dtype for spec in flat])
        for tensor, spec in zip(made, flat, strict=True):
            tensor.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(specs, made)

    made = tf.data.Dataset.range(len(batches)).map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if not batches.shuffle and sum(a.nbytes for a in _arrays(batches[0])) * len(batches) < KEPT_BYTES:
        made = made.cache()
    return made.prefetch(tf.data.AUTOTUNE)


def _arrays(batch: Any) -> list[np.ndarray]:
    return [np.asarray(array) for array in keras.tree.flatten(batch)]


def _specs(batches: Batched) -> Any:
    """Types and shapes; two batches tell which axes vary, and the first axis always does.

    Two batches do not tell how long those of later epochs are, as variation may shorten any of them.
    """
    import tensorflow as tf

    timed = batches.shuffle and batches.lengths is not None

    def spec(one: Any, other: Any, *, timed: bool) -> "tf.TensorSpec":
        one, other = np.asarray(one), np.asarray(other)
        same = [a if a == b else None for a, b in zip(one.shape[1:], other.shape[1:], strict=True)]
        if timed and same:
            same[0] = None
        return tf.TensorSpec([None, *same], one.dtype)

    (inputs, targets), (others, other_targets) = batches[0], batches[min(1, len(batches) - 1)]
    return (
        keras.tree.map_structure(functools.partial(spec, timed=timed), inputs, others),
        keras.tree.map_structure(functools.partial(spec, timed=False), targets, other_targets),
    )


class ReadAhead(keras.utils.PyDataset):
    """The batches as Keras takes them from any backend, made ahead by threads of our own.

    Those of Keras go on to the next epoch before anybody has said which it is.
    """

    def __init__(self, batches: Batched, threads: int | None = None) -> None:
        super().__init__()
        self.batches = batches
        self.threads = threads or min(8, os.cpu_count() or 1)
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="batches")
        self.waiting: deque[Future[tuple[Any, Any]]] = deque()
        self.next = 0
        self.end = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        if place == 0 or place != self.next:  # a new epoch, or another order than ours
            for future in self.waiting:
                future.cancel()
            self.waiting.clear()
            self.end = place
        while self.end < min(place + 2 * self.threads, len(self.batches)):
            self.waiting.append(self.pool.submit(self.batches.__getitem__, self.end))
            self.end += 1
        self.next = place + 1
        return self.waiting.popleft().result()
