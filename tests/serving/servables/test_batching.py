import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import DeadlineExceeded, Internal, InvalidInput, Overloaded, Unavailable
from serving.servables.batching import Batcher
from serving.servables.inputs import InputRule
from serving.servables.policy import BatchPolicy

RULE = InputRule(axis=1, side="right", value=0.0, buckets=(4, 8), min_length=1)


def soon():
    return time.monotonic() + 10


class Gate:
    """A function that notes what it ran and waits until it is let through."""

    def __init__(self, *, opened=True):
        self.shapes = []
        self.open = threading.Event()
        if opened:
            self.open.set()

    def __call__(self, inputs):
        self.shapes.append(inputs["x"].shape)
        assert self.open.wait(10)
        return {"y": inputs["x"].reshape(len(inputs["x"]), -1).sum(axis=1)}


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def held(batcher, gate):
    """Occupies the model with one request, so that the next ones queue."""
    task = asyncio.create_task(batcher.submit({"x": np.ones((1, 4), "f")}, soon()))
    while not gate.shapes:
        await asyncio.sleep(0.001)
    return task


async def test_an_idle_model_runs_at_once_and_a_busy_one_gathers(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(max_batch_size=8, allowed_batch_sizes=(1, 2, 4, 8)), executor)
    first = await held(batcher, gate)
    rest = [asyncio.create_task(batcher.submit({"x": np.full((1, 4), i, "f")}, soon())) for i in range(3)]
    await asyncio.sleep(0.01)
    gate.open.set()
    assert (await first)["y"].tolist() == [4.0]
    assert [(await task)["y"].tolist() for task in rest] == [[0.0], [4.0], [8.0]]
    assert gate.shapes == [(1, 4), (4, 4)]


async def test_requests_larger_than_a_batch_are_run_in_slices(executor):
    gate = Gate()
    batcher = Batcher(gate, BatchPolicy(max_batch_size=4, allowed_batch_sizes=(1, 2, 4)), executor)
    rows = np.arange(22, dtype="f").reshape(11, 2)
    answer = await batcher.submit({"x": rows}, soon())
    assert answer["y"].tolist() == rows.sum(axis=1).tolist()
    assert gate.shapes == [(4, 2), (4, 2), (4, 2)]


async def test_shorter_requests_ride_where_padding_would_stand(executor):
    gate = Gate(opened=False)
    policy = BatchPolicy(max_batch_size=4, allowed_batch_sizes=(1, 4), rules={"x": RULE})
    batcher = Batcher(gate, policy, executor)
    first = await held(batcher, gate)
    lengths = [7, 6, 3, 2, 1]
    tasks = [asyncio.create_task(batcher.submit({"x": np.ones((1, n), "f")}, soon())) for n in lengths]
    await asyncio.sleep(0.01)
    gate.open.set()
    await first
    assert [float((await task)["y"][0]) for task in tasks] == lengths
    assert gate.shapes == [(1, 4), (4, 8), (1, 4)]


async def test_a_full_queue_refuses_at_once_and_serves_what_it_took(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(max_batch_size=2, max_enqueued_rows=2), executor)
    first = await held(batcher, gate)
    queued = [asyncio.create_task(batcher.submit({"x": np.ones((1, 1), "f")}, soon())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="holds 2 rows; received: 1 with 2 waiting"):
        await batcher.submit({"x": np.ones((1, 1), "f")}, soon())
    with pytest.raises(InvalidInput, match="at most 2 rows; received: 3"):
        await batcher.submit({"x": np.ones((3, 1), "f")}, soon())
    gate.open.set()
    await asyncio.gather(first, *queued)
    assert batcher.depth == 0


async def test_a_passed_deadline_and_a_gone_caller_cost_no_compute(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(), executor)
    first = await held(batcher, gate)
    late = asyncio.create_task(batcher.submit({"x": np.ones((1, 1), "f")}, time.monotonic() + 0.02))
    gone = asyncio.create_task(batcher.submit({"x": np.ones((1, 1), "f")}, soon()))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(DeadlineExceeded):
        await late
    gate.open.set()
    await first
    assert (await batcher.submit({"x": np.ones((1, 2), "f")}, soon()))["y"].tolist() == [2.0]
    assert gate.shapes == [(1, 4), (1, 2)]
    assert batcher.depth == 0


async def test_the_queue_is_bounded_in_bytes_too(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(max_enqueued_bytes=64), executor)
    first = await held(batcher, gate)
    large = asyncio.create_task(batcher.submit({"x": np.ones((1, 16), "f")}, soon()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="holds 64 bytes; received: 4 with 64 waiting"):
        await batcher.submit({"x": np.ones((1, 1), "f")}, soon())
    gate.open.set()
    await asyncio.gather(first, large)


async def test_a_caller_who_leaves_makes_room_at_once(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(max_batch_size=1, max_enqueued_rows=1), executor)
    first = await held(batcher, gate)
    gone = asyncio.create_task(batcher.submit({"x": np.ones((1, 1), "f")}, soon()))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    assert batcher.depth == 0
    other = asyncio.create_task(batcher.submit({"x": np.ones((1, 2), "f")}, soon()))
    await asyncio.sleep(0)
    gate.open.set()
    await first
    assert (await other)["y"].tolist() == [2.0]
    assert gate.shapes == [(1, 4), (1, 2)]


async def test_an_observer_that_fails_does_not_hold_up_those_who_wait(executor):
    def observe(_):
        raise RuntimeError("no metrics today")

    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(max_batch_size=1), executor, observe=observe)
    tasks = [asyncio.create_task(batcher.submit({"x": np.full((1, 1), i, "f")}, soon())) for i in range(3)]
    gate.open.set()
    assert [(await task)["y"].tolist() for task in tasks] == [[0.0], [1.0], [2.0]]


async def test_one_bad_request_does_not_take_its_batch_mates_along(executor):
    gate = Gate(opened=False)

    def run(inputs):
        answers = gate(inputs)
        if (inputs["x"] < 0).any():
            raise InvalidInput("the model refused its input: negative")
        return answers

    batcher = Batcher(run, BatchPolicy(), executor)
    first = await held(batcher, gate)
    values = [1.0, -1.0, 2.0]
    tasks = [asyncio.create_task(batcher.submit({"x": np.full((1, 1), v, "f")}, soon())) for v in values]
    await asyncio.sleep(0.01)
    gate.open.set()
    await first
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert (good["y"].tolist(), other["y"].tolist()) == ([1.0], [2.0])
    assert isinstance(bad, InvalidInput)


async def test_a_foreign_exception_becomes_internal_without_its_words(executor):
    def run(_):
        raise RuntimeError("/secret/path")

    with pytest.raises(Internal, match=r"^the model failed$"):
        await Batcher(run, BatchPolicy(), executor).submit({"x": np.ones((1, 1))}, soon())


async def test_an_output_without_the_batch_lets_every_request_run_alone_and_whole(executor, caplog):
    sizes = []

    def run(inputs):
        sizes.append(len(inputs["x"]))
        return {"y": inputs["x"].sum()}

    batcher = Batcher(run, BatchPolicy(max_batch_size=4, allowed_batch_sizes=(4,)), executor, name="sum")
    deadline = time.monotonic() + 10
    requests = [{"x": np.full(rows, 1.0)} for rows in (2, 1, 6, 0)]
    answers = await asyncio.gather(*[batcher.submit(request, deadline) for request in requests])
    assert [float(answer["y"]) for answer in answers] == [2.0, 1.0, 6.0, 0.0]
    assert "sum: requests run alone from now on: " in caplog.text
    sizes.clear()
    assert (await batcher.submit(requests[2], deadline))["y"] == 6.0
    assert sizes == [6]


async def test_no_rows_run_alone_and_unpadded(executor):
    sizes = []

    def run(inputs):
        sizes.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}

    batcher = Batcher(run, BatchPolicy(allowed_batch_sizes=(2, 4)), executor)
    deadline = time.monotonic() + 10
    requests = [{"x": np.ones((rows, 3))} for rows in (1, 0, 3)]
    answers = await asyncio.gather(*[batcher.submit(request, deadline) for request in requests])
    assert [answer["y"].shape for answer in answers] == [(1, 3), (0, 3), (3, 3)]
    assert 0 in sizes


async def test_unmerged_requests_run_whole_and_alone(executor):
    shapes = []

    def run(inputs):
        shapes.append(inputs["x"].shape)
        return {"y": inputs["x"] / inputs["x"].sum()}

    batcher = Batcher(run, BatchPolicy(max_batch_size=2, merges=False), executor)
    vectors = [np.arange(1, n, dtype="f") for n in (3, 4, 5)]
    answers = await asyncio.gather(*[batcher.submit({"x": v}, soon()) for v in vectors])
    for vector, answer in zip(vectors, answers, strict=True):
        np.testing.assert_allclose(answer["y"], vector / vector.sum())
    assert shapes == [(2,), (3,), (4,)]


async def test_close_answers_what_was_accepted_and_refuses_the_rest(executor):
    gate = Gate(opened=False)
    batcher = Batcher(gate, BatchPolicy(), executor)
    first = await held(batcher, gate)
    second = asyncio.create_task(batcher.submit({"x": np.ones((1, 1), "f")}, soon()))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close(10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.submit({"x": np.ones((1, 1), "f")}, soon())
    gate.open.set()
    await closing
    assert (await first)["y"].tolist() == [4.0]
    assert (await second)["y"].tolist() == [1.0]


async def test_the_report_counts_rows_waits_and_padding(executor):
    reports = []
    policy = BatchPolicy(max_batch_size=4, allowed_batch_sizes=(1, 4), rules={"x": RULE})
    batcher = Batcher(Gate(), policy, executor, observe=reports.append)
    await batcher.submit({"x": np.ones((3, 5), "f")}, soon())
    (report,) = reports
    assert (report.rows, report.padded_rows, report.elements, report.padded_elements) == (3, 4, 15, 32)
    assert len(report.waits) == 1
    assert 0 <= report.waits[0] < 10
    assert report.seconds > 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=20), st.randoms())
def test_answers_never_depend_on_batch_mates(shapes, random):
    """Any mix of row counts and lengths, in any order of arrival, gets the one-by-one answers."""
    requests = [np.array([[random.random() for _ in range(n)] for _ in range(rows)], "d") for rows, n in shapes]

    async def scenario():
        with ThreadPoolExecutor(1) as pool:
            policy = BatchPolicy(max_batch_size=8, allowed_batch_sizes=(1, 2, 4, 8), rules={"x": RULE})
            batcher = Batcher(Gate(), policy, pool)
            return await asyncio.gather(*[batcher.submit({"x": array}, soon()) for array in requests])

    for array, answer in zip(requests, asyncio.run(scenario()), strict=True):
        np.testing.assert_allclose(answer["y"], array.sum(axis=1), rtol=1e-12)
