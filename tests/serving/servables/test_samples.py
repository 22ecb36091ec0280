"""The batches that a signature is warmed up and compiled with."""

import numpy as np

from serving.datatypes import BY_NAME
from serving.servables.inputs import InputRule
from serving.servables.samples import Samples
from serving.signature import Signature, TensorSpec


def lengths(buckets, *records):
    """The lengths of the batches of two rows that are made of records of two inputs, of which the lengths are given."""
    names = tuple(buckets)
    specs = {name: TensorSpec(name, "float32", (None, None)) for name in names}
    signature = Signature("serving_default", "tensorflow/serving/predict", specs, {})
    rules = {name: InputRule(axis=1, side="left", value=0.0, buckets=sizes) for name, sizes in buckets.items()}
    given = [{name: np.ones((1, length), np.float32) for name, length in record.items()} for record in records]
    samples = [*Samples(signature, rules, given, has_rows=True).of(2)]
    assert all(array.shape[0] == 2 for sample in samples for array in sample.values())
    return [tuple(sample[name].shape[1] for name in names) for sample in samples]


def test_inputs_of_which_one_is_always_so_much_longer_grow_together():
    buckets = {"history": (112, 1120), "holidays": (119, 1127)}
    assert lengths(buckets, {"history": 50, "holidays": 57}) == [(112, 119), (1120, 1127)]


def test_inputs_that_grow_apart_are_seen_in_every_combination():
    every = [(112, 119), (112, 1127), (1120, 119), (1120, 1127)]
    buckets = {"history": (112, 1120), "holidays": (119, 1127)}
    assert lengths(buckets, {"history": 50, "holidays": 50}) == every
    assert lengths(buckets, {"history": 50, "holidays": 57}, {"history": 50, "holidays": 200}) == every
    assert lengths(buckets) == every


def test_inputs_with_buckets_of_other_numbers_are_seen_in_every_combination():
    assert lengths({"a": (8,), "b": (8, 16)}, {"a": 4, "b": 4}) == [(8, 8), (8, 16)]


def test_a_record_is_preferred_and_what_is_made_up_fills_a_bucket():
    specs = {"x": TensorSpec("x", "float32", (None, None)), "one": TensorSpec("one", "float32", ())}
    signature = Signature("serving_default", "tensorflow/serving/predict", specs, {})
    rules = {"x": InputRule(axis=1, side="left", value=0.0, buckets=(8, 16))}
    made = [*Samples(signature, rules, [], has_rows=False).of(1)]
    assert [(sample["x"].shape, sample["one"].shape) for sample in made] == [((1, 8), ()), ((1, 16), ())]
    assert np.array_equal(made[1]["x"][:, 8:], made[0]["x"])
    record = {"x": np.full((1, 8), 7, np.float32), "one": np.float32(7)}
    (recorded, _) = Samples(signature, rules, [record], has_rows=False).of(1)
    assert (recorded["x"] == 7).all()


def test_without_records_fractions_are_made_up_and_everything_else_is_zero():
    types = ("float16", "bfloat16", "float32", "float64", "complex64", "int32", "bool")
    specs = {name: TensorSpec(name, name, (None, 50)) for name in types}
    signature = Signature("serving_default", "tensorflow/serving/predict", specs, {})
    first, second = (next(Samples(signature, {}, [], has_rows=True).of(2)) for _ in range(2))
    for name, array in first.items():
        assert (array.dtype, array.shape) == (BY_NAME[name].dtype, (2, 50))
        assert np.array_equal(array, second[name])
        if name in types[:5]:
            assert len({*array[0].tolist()}) > 30
            assert 0 <= array.real.min() <= array.real.max() <= 1
        else:
            assert not array.any()
