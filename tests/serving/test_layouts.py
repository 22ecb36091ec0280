"""What is known again, and above all what must not be."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from serving import layouts
from serving.errors import InvalidInput
from serving.layouts import Layouts, Unlikely


@dataclass
class Asked:
    inputs: dict[str, np.ndarray]
    name: bytes = b""

    def is_like(self, other: "Asked") -> bool:
        return self.name == other.name

    def forget_inputs(self) -> None:
        self.inputs = {}


def message(values: list[float], name: bytes = b"model", tail: bytes = b"end") -> bytes:
    return struct.pack("<B", len(name)) + name + np.array(values, "<f4").tobytes() + tail


def decoded(body: bytes) -> Asked:
    size = body[0]
    name, rest = body[1 : 1 + size], body[1 + size :]
    if not rest.endswith(b"end"):
        raise InvalidInput(f"expected an end, got {rest[-3:]!r}")
    return Asked({"x": np.frombuffer(rest[:-3], "<f4").reshape(1, -1).copy()}, name)


def find(known: Layouts, body: bytes, times: int = 3) -> Any:
    for _ in range(times):
        found = known.find(body)
    return found


def test_numbers_of_a_message_that_came_before_are_read_without_decoding_it():
    calls = []
    known = Layouts(lambda body: calls.append(body) or decoded(body))
    assert known.find(message([1, 2, 3, 4])) is None
    assert known.find(message([1, 2, 3, 4])) is None
    learned = len(calls)
    layout, inputs = known.find(message([5, -6, np.pi, 8]))
    np.testing.assert_array_equal(inputs["x"], np.array([[5, -6, np.pi, 8]], "f"))
    assert layout.asked.name == b"model"
    assert len(calls) == learned


def test_whoever_asks_once_is_not_learned_from():
    calls = []
    known = Layouts(lambda body: calls.append(body) or decoded(body))
    known.find(message([1, 2, 3, 4]))
    assert not calls


@pytest.mark.parametrize(
    "other",
    [
        message([1, 2, 3, 4], b"other"),
        message([1, 2, 3, 4], tail=b"and"),
        message([1, 2, 3, 4, 5]),
        b"\4" + message([1, 2, 3, 4])[1:],
    ],
)
def test_a_message_of_another_model_end_or_length_is_not_mistaken(other: bytes):
    known = Layouts(decoded)
    assert find(known, message([1, 2, 3, 4])) is not None
    assert known.find(other) is None


def test_models_with_names_of_one_length_are_told_apart():
    known = Layouts(decoded)
    for name in (b"one", b"two"):
        find(known, message([1, 2, 3, 4], name))
    for name in (b"one", b"two"):
        layout, inputs = known.find(message([4, 3, 2, 1], name))
        assert layout.asked.name == name
        assert inputs["x"].tolist() == [[4, 3, 2, 1]]


def test_numbers_that_also_stand_elsewhere_are_not_looked_for():
    """In a message that says the same bytes twice, either place could be the one that counts."""
    twice = np.array([1, 2, 3, 4], "<f4").tobytes()
    body = struct.pack("<B", len(twice)) + twice + twice + b"end"
    assert find(Layouts(decoded), body) is None


def test_numbers_that_decide_about_other_things_are_not_known():
    """Here the first value is a length, too: what was learned from one message would be wrong for the next."""

    def peculiar(body: bytes) -> Asked:
        array = np.frombuffer(body, "<f4").copy()
        return Asked({"x": array[: 1 + int(array[0]) % len(array)]})

    body = np.array([3, 2, 1, 0], "<f4").tobytes()
    assert find(Layouts(peculiar), body) is None


def test_numbers_that_are_changed_on_the_way_are_not_known():
    known = Layouts(lambda body: Asked({"x": np.maximum(np.frombuffer(body, "<f4"), 50)}))
    assert find(known, np.array([60, 70, 80, 90], "<f4").tobytes()) is None


def test_what_is_refused_or_left_alone_is_not_known():
    def refuse(_: bytes) -> Asked:
        raise Unlikely

    for decode in (refuse, decoded):
        known = Layouts(decode)
        assert find(known, b"\1mno end at all, but sixteen bytes and more") is None


def test_inputs_too_small_to_be_found_must_stay_the_same():
    def with_day(body: bytes) -> Asked:
        asked = decoded(body[1:])
        asked.inputs["day"] = np.array([body[0]], "i4")
        return asked

    known = Layouts(with_day)
    assert find(known, b"\7" + message([1, 2, 3, 4])) is not None
    _, inputs = known.find(b"\7" + message([9, 8, 7, 6]))
    assert inputs["day"].tolist() == [7]
    assert known.find(b"\x08" + message([9, 8, 7, 6])) is None
    _, inputs = find(known, b"\x08" + message([9, 8, 7, 6]))
    assert inputs["day"].tolist() == [8]


def test_messages_that_never_come_again_do_not_fill_the_memory():
    known = Layouts(decoded)
    for size in range(4, 2000):
        find(known, message([1.0] * size), times=2)
    assert len(known._known) <= layouts._MOST_LENGTHS
    for number in range(200):
        find(known, message(list(range(8)), b"%5d" % number), times=2)
    assert max(map(len, known._known.values())) <= layouts._MOST_ALIKE
    for size in range(15_000, 16_000):
        find(known, message([1.0] * (size - 1) + [2.0], b"large"), times=2)
    assert known._nbytes <= layouts._MOST_BYTES + layouts.LARGE_BYTES
    assert known._nbytes == sum(layout.nbytes for alike in known._known.values() for layout in alike)


def test_small_integers_written_in_as_few_bytes_as_they_need_are_not_known():
    """As protobuf writes repeated integers: up to 127 each takes one byte, and looks as it does in memory."""

    def varints(body: bytes) -> Asked:
        values, number, shift = [], 0, 0
        for byte in body:
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                values.append(number)
                number, shift = 0, 0
        return Asked({"x": np.array(values, np.uint8)})

    assert find(Layouts(varints), bytes(range(1, 21))) is None


def test_large_messages_are_left_alone():
    calls = []
    known = Layouts(lambda body: calls.append(body) or decoded(body))
    assert find(known, message([1.5] * layouts.LARGE_BYTES)) is None
    assert not calls
