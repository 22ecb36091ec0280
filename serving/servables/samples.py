"""Batches to warm a signature up and to compile it with: recorded requests where there are some, else made up."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from serving.datatypes import BY_NAME
from serving.servables.inputs import InputRule
from serving.servables.policy import Arrays
from serving.signature import Signature

# Requests of so many shapes, beside their rows, are made into batches of every size.
_MOST_SHAPES = 64
_DISTINCT = 4093  # a prime, so that rows of usual lengths differ
_FRACTIONAL = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"})


class Samples:
    """Batches of any number of rows for one signature.

    records: valid requests, with a row at least. has_rows: whether axis 0 of every input is a batch.
    """

    def __init__(
        self, signature: Signature, rules: Mapping[str, InputRule], records: Sequence[Arrays], *, has_rows: bool
    ) -> None:
        self._names = tuple(signature.inputs)
        self._has_rows = has_rows
        self._ruled = [(name, rule) for name, rule in rules.items() if rule.axis is not None]
        made = _made_up(signature, rules)
        if self._ruled:  # every bucket is visited, so one request will do
            self._bases = [*records[:1]]
        else:
            distinct = {tuple(array.shape[has_rows:] for array in record.values()): record for record in records}
            self._bases = [*distinct.values()][:_MOST_SHAPES]
        if not self._bases and made is not None:
            self._bases = [made]
        self._in_step = bool(records) and all(_grow_together(self._ruled, record) for record in records)

    def of(self, rows: int) -> Iterator[Arrays]:
        """Batches of `rows` rows in every bucket, or every combination of buckets; none where no input is known."""
        for base in self._bases:
            buckets = [rule.buckets for _, rule in self._ruled]
            for lengths in zip(*buckets, strict=True) if self._in_step else product(*buckets):
                sample = {name: self._resized(base[name], rows) for name in self._names}
                for (name, rule), length in zip(self._ruled, lengths, strict=True):
                    sample[name] = rule.fitted(sample[name], length)
                yield sample

    def _resized(self, array: np.ndarray, rows: int) -> np.ndarray:
        return np.resize(array, (rows, *array.shape[1:])) if self._has_rows else array


def _grow_together(ruled: Sequence[tuple[str, InputRule]], record: Arrays) -> bool:
    """Whether the inputs' buckets are apart by what a request's lengths are: a day of history more is one flag more."""
    if len({len(rule.buckets) for _, rule in ruled}) != 1:
        return False
    lengths = [record[name].shape[rule.axis or 0] for name, rule in ruled]
    return all(
        {bucket - first for bucket, first in zip(rule.buckets, ruled[0][1].buckets, strict=True)}
        == {length - lengths[0]}
        for length, (_, rule) in zip(lengths, ruled, strict=True)
    )


def _made_up(signature: Signature, rules: Mapping[str, InputRule]) -> dict[str, np.ndarray] | None:
    """One row for each input; None where a shape leaves open what to make.

    Fractions between 0 and 1, so that the answers tell when compiled code is wrong; integers and booleans are zeros,
    for they may be indices.
    """
    fractions = np.random.default_rng(0).random(_DISTINCT)  # enough, and quickly made, however large an input is
    arrays = {}
    for name, spec in signature.inputs.items():
        if spec.shape is None or spec.dtype == "string":
            return None
        shape = [1, *spec.shape[1:]] if spec.shape[:1] == (None,) else [*spec.shape]
        rule = rules.get(name)
        if rule is not None and rule.axis is not None and rule.axis < len(shape):
            shape[rule.axis] = rule.buckets[0]
        sizes = [axis for axis in shape if axis is not None]
        if len(sizes) < len(shape):
            return None
        dtype = BY_NAME[spec.dtype].dtype
        numbers = fractions.astype(dtype) if spec.dtype in _FRACTIONAL else np.zeros(1, dtype)
        arrays[name] = np.resize(numbers, sizes)
    return arrays
