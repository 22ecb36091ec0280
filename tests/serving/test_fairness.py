"""A slow or broken model beside a quick one: the quick one's answers do not wait."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from serving.engine import Engine, InferRequest
from serving.errors import DeadlineExceeded, ServingError
from serving.repository import Repository
from serving.servables.inputs import InputRule
from serving.servables.servable import LoadOptions, load_servable

from .savedmodels import Affine, Picky, save


class Slow(tf.Module):
    """Takes half a second a request, all of it on the processor."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        start = tf.timestamp()
        end = tf.while_loop(lambda now: now - start < 0.5, lambda now: (tf.timestamp(),), [start])[0]
        return {"y": x + tf.cast(end > start, tf.float32)}


@contextlib.asynccontextmanager
async def serving(base, load=lambda *where: load_servable(*where, LoadOptions(threads=1, compile=False))):
    repository = Repository(base, load, poll_seconds=0.05)
    await repository.start()
    try:
        yield Engine(repository, timeout=60)
    finally:
        await repository.stop(0)


async def latencies(engine, count):
    """Seconds that each of `count` requests for the quick model took."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        result = await engine.infer(InferRequest("quick", {"x": np.ones((1, 3), "f")}))
        assert result.outputs["y"] == [6.0]
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.005)
    return sorted(times)


async def test_a_slow_models_queue_does_not_keep_another_waiting(tmp_path):
    save(Affine(), tmp_path / "quick" / "1")
    save(Slow(), tmp_path / "slow" / "1")
    async with serving(tmp_path) as engine:
        deadline = time.monotonic() + 2
        request = InferRequest("slow", {"x": np.ones(1, "f")}, deadline=deadline)
        slow = [asyncio.create_task(engine.infer(request)) for _ in range(500)]
        times = await latencies(engine, 100)
        # One call of the slow model takes 500 ms; a busy machine may take a while for anything.
        assert times[len(times) // 2] < 0.1
        assert times[98] < 0.4
        outcomes = await asyncio.gather(*slow, return_exceptions=True)
        assert sum(isinstance(outcome, DeadlineExceeded) for outcome in outcomes) > 400


async def test_a_model_that_fails_each_request_does_not_keep_another_waiting(tmp_path):
    save(Affine(), tmp_path / "quick" / "1")
    save(Picky(), tmp_path / "broken" / "1")
    async with serving(tmp_path) as engine:

        async def fail():
            for _ in range(50):
                with pytest.raises(ServingError, match="negative"):
                    await engine.infer(InferRequest("broken", {"x": np.array([[-1.0]], "f")}))

        failing = [asyncio.create_task(fail()) for _ in range(8)]
        times = await latencies(engine, 100)
        await asyncio.gather(*failing)
    assert times[50] < 0.1


async def test_a_load_that_takes_for_ever_keeps_neither_traffic_nor_other_loads_waiting(tmp_path):
    save(Affine(), tmp_path / "quick" / "1")
    stuck = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load(name, version, path):
        if name == "endless":
            loop.call_soon_threadsafe(stuck.set)
            time.sleep(4)
        return load_servable(name, version, path, LoadOptions(threads=1, compile=False))

    async with serving(tmp_path, load) as engine:
        save(Affine(), tmp_path / "endless" / "1")
        await asyncio.wait_for(stuck.wait(), 10)
        assert (await latencies(engine, 20))[-1] < 1
        save(Affine(), tmp_path / "another" / "1")
        limit = time.monotonic() + 3.5
        while not engine.ready("another"):
            assert time.monotonic() < limit
            await asyncio.sleep(0.02)
        assert not engine.ready("endless")


async def test_a_large_request_is_looked_through_beside_the_event_loop(tmp_path, monkeypatch):
    save(Affine(), tmp_path / "quick" / "1", rules={"x": {"nan_allowed": False}})
    checked_in = []
    check = InputRule.check

    def note(self, name, array):
        checked_in.append(threading.current_thread())
        check(self, name, array)

    monkeypatch.setattr(InputRule, "check", note)
    async with serving(tmp_path) as engine:
        for rows in (1, 1_000_000):
            await engine.infer(InferRequest("quick", {"x": np.ones((rows, 3), "f")}))
    assert [thread is threading.main_thread() for thread in checked_in] == [True, False]
