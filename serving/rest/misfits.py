"""What is wrong with a JSON tensor, in TF Serving's words.

Looks again at what `arrays` has refused, element by element and in the order of TF Serving's util/json_tensor.cc, whose
words clients look for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from serving.datatypes import BY_NAME, MAX_RANK
from serving.errors import InvalidInput
from serving.quoting import shown
from serving.rest.arrays import TF_WORDS, is_base64, json_type, quote, to_bytes
from serving.signature import TensorSpec

# Looking for the culprit must not take longer than the request would have.
_MOST_ELEMENTS = 100_000


class _Misfit(Exception):
    """The words for what was found."""


class _TooMany(Exception):
    """Elements to look at, or axes."""


def in_column(value: Any, spec: TensorSpec) -> str | None:
    """What is wrong with one whole tensor; None where nothing was found."""
    return _words(lambda: _checked(value, spec, _Budget()))


def in_rows(rows: Sequence[Any], spec: TensorSpec, *, named: bool) -> str | None:
    """What is wrong with the first bad one of the rows of an input, which objects may name."""
    budget = _Budget()
    first: tuple[int, list[int]] | None = None
    key = f" key: {shown(spec.name)}" if named else ""
    for index, row in enumerate(rows):

        def check(row: Any = row) -> None:
            nonlocal first
            count, shape = _checked(row, spec, budget)
            if first is None:
                first = count, shape
            elif count != first[0]:
                raise _Misfit(f"Expecting tensor size: {first[0]} but got: {count}")
            elif shape != first[1]:
                raise _Misfit(f"Expecting shape {_listed(first[1])} but got: {_listed(shape)}")

        if words := _words(check):
            return f"Failed to process element: {index}{key} of 'instances' list. Error: INVALID_ARGUMENT: {words}"
        if budget.spent:
            break
    return None


class _Budget:
    def __init__(self) -> None:
        self._left = _MOST_ELEMENTS
        self.spent = False

    def take(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.spent = True
            raise _TooMany


def _words(check: Callable[[], object]) -> str | None:
    try:
        check()
    except _Misfit as found:
        return str(found)
    except _TooMany:
        pass
    return None


def _checked(value: Any, spec: TensorSpec, budget: _Budget) -> tuple[int, list[int]]:
    """How many elements a tensor has and its shape, which the first of each list decides."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if len(shape) > MAX_RANK:
            raise _TooMany
        if not inner:
            break
        inner = inner[0]
    return _count(value, 0, shape, spec, budget), shape


def _count(value: Any, level: int, shape: Sequence[int], spec: TensorSpec, budget: _Budget) -> int:
    budget.take()
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise _Misfit(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        _check_leaf(value, spec)
        return 1
    if level >= rank:
        raise _Misfit(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise _Misfit(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    return sum(_count(item, level + 1, shape, spec, budget) for item in value)


def _check_leaf(value: Any, spec: TensorSpec) -> None:
    word = TF_WORDS.get(spec.dtype, spec.dtype)
    dtype = BY_NAME[spec.dtype].dtype
    if dtype.kind == "O" and isinstance(value, dict):
        if not is_base64(value):
            raise _Misfit(f"JSON Value: {quote(value)} not formatted correctly for base64 data")
        try:
            to_bytes(value)
        except InvalidInput:
            raise _Misfit("Unable to base64 decode") from None
        return
    if dtype.kind == "f" and type(value) in (int, float):
        if not _is_lossless(value, dtype):
            raise _Misfit(f"Cannot convert JSON value: {quote(value)} to {word} without loss of precision.")
        return
    if not _is_of(value, dtype):
        raise _Misfit(f"JSON Value: {quote(value)} Type: {json_type(value)} is not of expected type: {word}")


def _is_of(value: Any, dtype: np.dtype) -> bool:
    if dtype.kind == "O":
        return isinstance(value, str)
    if dtype.kind == "b":
        return isinstance(value, bool)
    if dtype.kind in "iu":
        return type(value) is int and bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
    return type(value) in (int, float)


def _is_lossless(value: float, dtype: np.dtype) -> bool:
    if isinstance(value, float) and not np.isfinite(value):
        return True
    if abs(value) > float(np.finfo(dtype).max):
        return False
    return isinstance(value, float) or int(dtype.type(value)) == value


def _listed(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
