import asyncio
import time

import numpy as np
import pytest

from serving.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from serving.sequences import Sequences, SequenceStep
from serving.servables.inputs import InputRule

RULES = {"x": InputRule(axis=1, buckets=(8,))}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sequences(clock):
    return Sequences(max_sequences=2, idle_seconds=10, max_bytes=64, clock=clock)


def piece(*values, rows=1):
    return {"x": np.array([values] * rows, np.float32)}


async def take(sequences, inputs, id=1, *, start=False, end=False, failure=None, address=None, deadline=None):  # noqa: A002
    step = SequenceStep(id, start=start, end=end)
    async with sequences.step("m", address, step, inputs, RULES, deadline or time.monotonic() + 5) as whole:
        if failure is not None:
            raise failure
        return whole["x"].tolist()


async def test_pieces_are_joined_until_the_last(sequences):
    assert await take(sequences, piece(1, 2), start=True) == [[1, 2]]
    assert await take(sequences, piece()) == [[1, 2]]
    assert await take(sequences, piece(3)) == [[1, 2, 3]]
    assert await take(sequences, piece(4), end=True) == [[1, 2, 3, 4]]
    assert (len(sequences), sequences.nbytes) == (0, 0)
    with pytest.raises(InvalidInput, match="must specify the START flag on the first request"):
        await take(sequences, piece(5))


async def test_one_step_may_be_first_and_last(sequences):
    assert await take(sequences, piece(1), start=True, end=True) == [[1]]
    assert len(sequences) == 0


async def test_ids_and_addresses_are_apart(sequences):
    await take(sequences, piece(1), 1, start=True)
    await take(sequences, piece(2), "1", start=True)
    assert await take(sequences, piece(3), 1) == [[1, 3]]
    assert await take(sequences, piece(3), "1") == [[2, 3]]
    with pytest.raises(InvalidInput, match="START"):
        await take(sequences, piece(3), 1, address=7)


async def test_of_other_inputs_the_last_counts_and_one_left_out_stays(sequences):
    both = {**piece(1), "day": np.array([1])}
    rules_apply = sequences.step("m", None, SequenceStep(1, start=True), both, RULES, time.monotonic() + 5)
    async with rules_apply as whole:
        assert whole["day"] == 1
    async with sequences.step("m", None, SequenceStep(1), {"day": np.array([2])}, RULES, time.monotonic() + 5) as whole:
        assert (whole["x"].tolist(), whole["day"].tolist()) == ([[1]], [2])
    with pytest.raises(InvalidInput, match=r"got \{z\}"):
        await take(sequences, {**piece(1), "z": np.array([1])})


async def test_a_step_that_fails_leaves_the_sequence_as_it_was(sequences):
    await take(sequences, piece(1), start=True)
    with pytest.raises(Unavailable):
        await take(sequences, piece(2), failure=Unavailable("no"))
    with pytest.raises(Unavailable):
        await take(sequences, piece(2), end=True, failure=Unavailable("no"))
    assert await take(sequences, piece(3)) == [[1, 3]]


async def test_a_start_replaces_even_where_it_fails(sequences):
    await take(sequences, piece(1), start=True)
    assert await take(sequences, piece(2), start=True) == [[2]]
    with pytest.raises(Unavailable):
        await take(sequences, piece(3), start=True, failure=Unavailable("no"))
    with pytest.raises(InvalidInput, match="START"):
        await take(sequences, piece(4))
    assert (len(sequences), sequences.nbytes) == (0, 0)


@pytest.mark.parametrize(
    "misfit", [piece(1, rows=2), {"x": np.array([[1]], np.float64)}, {"x": np.array([1], np.float32)}]
)
async def test_pieces_must_fit(sequences, misfit):
    await take(sequences, piece(1), start=True)
    with pytest.raises(InvalidInput, match=r"expected float32 \[1, '\?'\] to go on with sequence 1, got"):
        await take(sequences, misfit)
    assert await take(sequences, piece(2)) == [[1, 2]]


async def test_idle_sequences_expire_and_busy_ones_do_not(sequences, clock):
    await take(sequences, piece(1), 1, start=True)
    clock.now = 9
    await take(sequences, piece(1), 2, start=True)
    clock.now = 11
    sequences.expire()
    assert len(sequences) == 1
    assert await take(sequences, piece(2), 2) == [[1, 2]]
    async with sequences.step("m", None, SequenceStep(2), piece(3), RULES, time.monotonic() + 5):
        clock.now = 40
        sequences.expire()
    assert await take(sequences, piece(4), 2) == [[1, 2, 3, 4]]
    clock.now = 60
    with pytest.raises(InvalidInput, match="START"):
        await take(sequences, piece(2), 2)
    assert sequences.nbytes == 0


async def test_their_number_and_size_are_bounded(sequences, clock):
    await take(sequences, piece(1), 1, start=True)
    await take(sequences, piece(1), 2, start=True)
    with pytest.raises(Overloaded, match="at most 2 sequences"):
        await take(sequences, piece(1), 3, start=True)
    with pytest.raises(Overloaded, match="at most 64 bytes"):
        await take(sequences, piece(*range(16)), 2)
    with pytest.raises(Overloaded, match="at most 64 bytes"):
        await take(sequences, {"x": np.array([[b"a" * 60]], object)}, 2, start=True)
    clock.now = 11
    assert await take(sequences, piece(1), 3, start=True) == [[1]]
    assert len(sequences) == 1


async def test_steps_of_one_sequence_wait_for_each_other_in_order(sequences):
    entered = []

    async def slow(value, **options):
        step = SequenceStep(1, **options)
        async with sequences.step("m", None, step, piece(value), RULES, time.monotonic() + 5) as whole:
            entered.append(value)
            await asyncio.sleep(0.01)
            return whole["x"].tolist()

    answers = await asyncio.gather(slow(1, start=True), slow(2), slow(3), slow(9, start=True), slow(4, end=True))
    assert answers == [[[1]], [[1, 2]], [[1, 2, 3]], [[9]], [[9, 4]]]
    assert entered == [1, 2, 3, 9, 4]
    assert len(sequences) == 0


async def test_waiting_for_those_before_has_a_deadline(sequences):
    async with sequences.step("m", None, SequenceStep(1, start=True), piece(1), RULES, time.monotonic() + 5):
        with pytest.raises(DeadlineExceeded, match="those before"):
            await take(sequences, piece(2), deadline=time.monotonic() + 0.02)
    assert await take(sequences, piece(3)) == [[1, 3]]


async def test_a_caller_that_leaves_while_waiting_holds_nothing_up(sequences):
    async with sequences.step("m", None, SequenceStep(1, start=True), piece(1), RULES, time.monotonic() + 5):
        waiting = asyncio.create_task(take(sequences, piece(2)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert await take(sequences, piece(3), end=True) == [[1, 3]]
    assert len(sequences) == 0
