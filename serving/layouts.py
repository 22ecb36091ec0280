"""Knows requests again that differ from earlier ones in nothing but the numbers of their inputs.

A client asks in the same way again and again: names, types and shapes stay, and so do the bytes that say them, whatever
the protocol. Where the numbers of an input stand as they are in memory, only these have to be looked at. Where they
stand is found by trial: a message is known for what it is once others, made from it with other numbers in the same
places, were decoded to just these numbers and to nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np

from serving.errors import ServingError

Arrays = Mapping[str, np.ndarray]

LARGE_BYTES: Final = 64 * 1024
"""Messages of this size and beyond are not known again: reading them costs little of what else they cost."""
_LEAST_BYTES = 16  # fewer can be found in a message by accident
_NUMBERS = "fiu"
_PATTERNS = 2
# Of one length so many are kept; whose messages differ in more ways than that gains nothing here.
_MOST_ALIKE, _MOST_LENGTHS, _MOST_TRIALS = 4, 256, 3
_MOST_BYTES = 8 << 20  # of messages that layouts were learned from, all together


class Asked(Protocol):
    """What a message was decoded to."""

    @property
    def inputs(self) -> Arrays: ...

    def is_like(self, other: Any) -> bool:
        """Whether all but the inputs is the same."""

    def forget_inputs(self) -> None:
        """Called once it is known where they stand; they may be large."""


A = TypeVar("A", bound=Asked)


class Unlikely(Exception):
    """A message of a kind that is not worth knowing again."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an input's numbers stand in a message."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count * self.dtype.itemsize


class Layout(Generic[A]):
    """Messages that differ in their numbers only. asked: what one of them was decoded to."""

    __slots__ = ("_constant", "_fixed", "_head", "_places", "_tail", "asked", "nbytes")

    def __init__(self, message: bytes, places: list[_Place], asked: A) -> None:
        self.asked = asked
        self._places = [(place.name, place.dtype, place.count, place.start, place.shape) for place in places]
        ends = [0, *(place.end for place in places)]
        pieces = [message[end : place.start] for end, place in zip(ends, places, strict=False)]
        self._head = pieces[0]
        self._fixed = list(zip(ends[1:], pieces[1:], strict=False))  # between two inputs
        self._tail = message[ends[-1] :]
        placed = {place.name for place in places}
        self._constant = {name: array.copy() for name, array in asked.inputs.items() if name not in placed}
        self.nbytes = len(message)
        asked.forget_inputs()

    def inputs(self, message: bytes) -> Arrays | None:
        """The arrays of a message of the same length; None where it is laid out in another way."""
        if not message.startswith(self._head) or not message.endswith(self._tail):
            return None
        for start, piece in self._fixed:
            if not message.startswith(piece, start):
                return None
        arrays = dict(self._constant)
        for name, dtype, count, start, shape in self._places:
            arrays[name] = np.frombuffer(message, dtype, count, start).reshape(shape)
        return arrays


class Layouts(Generic[A]):
    """The layouts that were found in one method's messages.

    decode: a message's meaning, with arrays that are copies or views of it; raises what a bad message raises, and
    Unlikely for one that is to be left alone.
    """

    def __init__(self, decode: Callable[[bytes], A]) -> None:
        self._decode = decode
        self._known: dict[int, list[Layout[A]]] = {}
        self._nbytes = 0
        self._seen: dict[int, int] = {}  # how often a message of a length was met that is not known

    def find(self, message: bytes) -> tuple[Layout[A], Arrays] | None:
        """The layout of a message and its inputs; None where it is not known, or not yet."""
        for layout in self._known.get(len(message), ()):
            if (inputs := layout.inputs(message)) is not None:
                return layout, inputs
        if len(message) < LARGE_BYTES:
            self._meet(message)
        return None

    def _meet(self, message: bytes) -> None:
        """Learns from a message, if its length comes often enough and in few layouts."""
        size = len(message)
        seen = self._seen.get(size, 0) + 1
        while len(self._seen) >= _MOST_LENGTHS or self._nbytes > _MOST_BYTES:  # clients come and go
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._nbytes -= sum(layout.nbytes for layout in self._known.pop(oldest, ()))
        self._seen[size] = seen
        # The first of a length may be the only one; and who is never understood must not cost much for ever.
        if not 1 < seen <= 1 + _MOST_TRIALS + _MOST_ALIKE:
            return
        layouts = self._known.setdefault(size, [])
        if len(layouts) < _MOST_ALIKE and (layout := self._learned(message)) is not None:
            layouts.append(layout)
            self._nbytes += layout.nbytes

    def _learned(self, message: bytes) -> Layout[A] | None:
        try:
            asked = self._decode(message)
            places = _places(message, asked.inputs)
            if not places:
                return None
            for seed in range(_PATTERNS):
                changed, numbers = _with_other_numbers(message, places, seed)
                if not _differ_as_meant(asked, self._decode(changed), numbers):
                    return None
        except (Unlikely, ServingError, ValueError):
            return None
        return Layout(message, places, asked)


def _places(message: bytes, inputs: Arrays) -> list[_Place]:
    """Where the bytes of inputs stand in the message, in order; only of those that stand there once."""
    places = []
    for name, array in inputs.items():
        raw = array.tobytes()
        if array.dtype.kind not in _NUMBERS or len(raw) < _LEAST_BYTES:
            continue
        start = message.find(raw)
        if start >= 0 and message.find(raw, start + 1) < 0:
            places.append(_Place(name, array.dtype, array.shape, start, array.size))
    places.sort(key=lambda place: place.start)
    apart = all(one.end <= other.start for one, other in pairwise(places))
    return places if apart else []


def _with_other_numbers(message: bytes, places: list[_Place], seed: int) -> tuple[bytes, Arrays]:
    changed = bytearray(message)
    numbers = {}
    for number, place in enumerate(places):
        # Finite in every type of floats. Each byte has its highest bit set: small integers would look the same where
        # each is written in as many bytes as it needs.
        raw = (np.arange(place.end - place.start) * (2 * seed + 3) + 7 * number + seed) % 61 | 0x80
        changed[place.start : place.end] = raw.astype(np.uint8).tobytes()
        numbers[place.name] = np.frombuffer(bytes(changed), place.dtype, place.count, place.start).reshape(place.shape)
    return bytes(changed), numbers


def _differ_as_meant(asked: Asked, other: Asked, numbers: Arrays) -> bool:
    return (
        asked.is_like(other)
        and asked.inputs.keys() == other.inputs.keys()
        and all(_same(array, numbers.get(name, asked.inputs[name])) for name, array in other.inputs.items())
    )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(one.tolist() == other.tolist()) if one.dtype.hasobject else one.tobytes() == other.tobytes()
