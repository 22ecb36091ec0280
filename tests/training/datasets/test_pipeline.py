import os
import threading
from typing import Any

import keras
import numpy as np
import pytest

from training.datasets import pipeline
from training.datasets.measure import measure
from training.fitting import Batches

from ..toy import LENGTHS, SIZE, collate, model


def batches(**changes: Any) -> Batches:
    return Batches(SIZE, 16, collate, **({"lengths": LENGTHS, "window": 4} | changes))


def taken(source: Any) -> list[list[np.ndarray]]:
    """All batches of one pass."""
    passed = source if not isinstance(source, pipeline.ReadAhead) else (source[i] for i in range(len(source)))
    return [[np.asarray(array) for array in keras.tree.flatten(batch)] for batch in passed]


def assert_same(one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for array, expected in zip(a, b, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("make", [pipeline.dataset, lambda made: pipeline.ReadAhead(made, threads=4)])
def test_every_epoch_has_the_batches_that_it_has_without_a_pipeline(make: Any) -> None:
    made = batches(seed=3)
    source, passes = make(made), []
    for epoch in (0, 1, 5, 0):
        made.epoch = epoch
        passes.append(taken(source))
        assert_same(passes[-1], [[np.asarray(a) for a in made[i]] for i in range(len(made))])
    assert_same(passes[0], passes[3])
    assert len({np.concatenate([labels for _, labels in one]).tobytes() for one in passes}) == 3


def test_axes_that_vary_have_no_fixed_length_and_names_are_kept() -> None:
    made = Batches(SIZE, 16, lambda indices, rng: ({"b": VALUES[indices], "a": indices}, indices))
    inputs, targets = pipeline.dataset(made).element_spec
    assert {name: spec.shape.as_list() for name, spec in inputs.items()} == {"a": [None], "b": [None, 12, 3]}
    assert targets.dtype == "int64"
    values, _ = pipeline.dataset(batches()).element_spec
    assert values.shape.as_list() == [None, None, 3]
    ((first, places),) = pipeline.dataset(made).take(1)
    np.testing.assert_array_equal(first["a"], places)


@pytest.mark.parametrize("size", [8, 16])
def test_variation_may_shorten_the_batches_of_later_epochs(size: int) -> None:
    def shortened(indices: np.ndarray, rng: np.random.Generator) -> Any:  # noqa: ARG001
        return VALUES[indices, : 10 - made.epoch], indices

    made = Batches(size, 8, shortened, lengths=np.full(size, 12))
    source = pipeline.dataset(made)
    for epoch in range(2):
        made.epoch = epoch
        assert [values.shape for values, _ in taken(source)] == [(8, 10 - epoch, 3)] * (size // 8)


VALUES = np.zeros((SIZE, 12, 3), "float32")


@pytest.mark.parametrize(("shuffle", "kept_bytes", "expected"), [(False, 2**28, 10), (False, 0, 20), (True, 2**28, 20)])
def test_batches_that_are_always_the_same_are_made_once_where_they_are_small(
    shuffle: bool, kept_bytes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(indices: np.ndarray, rng: np.random.Generator) -> Any:
        calls.append(len(indices))
        return collate(indices, rng)

    monkeypatch.setattr(pipeline, "KEPT_BYTES", kept_bytes)
    source = pipeline.dataset(Batches(SIZE, 16, counted, lengths=LENGTHS, shuffle=shuffle))
    calls.clear()
    first, second = taken(source), taken(source)
    assert len(calls) == expected
    assert_same(first, second)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="tf.data makes as many batches at once as there are cores")
@pytest.mark.parametrize("make", [pipeline.dataset, lambda made: pipeline.ReadAhead(made, threads=2)])
def test_several_batches_are_made_at_once(make: Any) -> None:
    """Each waits for another to be begun: one after the other they would wait in vain."""
    pairs = threading.Barrier(2)

    def paired(indices: np.ndarray, rng: np.random.Generator) -> Any:
        if threading.current_thread() is not threading.main_thread():
            pairs.wait(timeout=60)
        return collate(indices, rng)

    assert len(taken(make(Batches(SIZE, 16, paired, lengths=LENGTHS)))) == 10


def test_measuring_trains_on_the_same_batches_kept_and_fresh() -> None:
    fitted = model()
    fitted.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    times = measure(fitted, batches(), steps=4, rounds=1)
    assert times.steps == 4
    assert min(times.fed, times.kept, times.alone) > 0
    assert "with the same 4 batches kept in memory" in str(times)
