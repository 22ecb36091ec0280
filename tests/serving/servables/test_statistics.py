import asyncio
import json
import time

import numpy as np
import pytest

from serving.control import Control
from serving.engine import Engine, InferRequest
from serving.errors import DeadlineExceeded, InvalidInput, NotFound
from serving.repository import Repository
from serving.servables.servable import LoadOptions, load_servable
from serving.servables.statistics import Duration, ModelStatistics, merged, restored

from ..savedmodels import Affine, save


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    save(Affine(1.0), base / "affine" / "1", sizes=(1, 4))
    save(Affine(1.0), base / "alone" / "1")
    return base


@pytest.fixture
async def repository(base):
    def load(name, version, path):
        return load_servable(name, version, path, LoadOptions(threads=1, compile=False))

    repository = Repository(base, load, poll_seconds=0)
    await repository.start()
    yield repository
    await repository.stop(5)


@pytest.fixture
def engine(repository):
    return Engine(repository)


@pytest.fixture
def control(repository):
    return Control(repository)


def rows(count, model="affine"):
    return InferRequest(model, {"x": np.ones((count, 3), np.float32)})


async def test_a_version_counts_requests_rows_and_batches(engine, control):
    before = time.time_ns() // 1_000_000
    for count in (1, 3, 3):
        await engine.infer(rows(count))
    (counted,) = await control.statistics("affine")
    assert (counted.name, counted.version) == ("affine", 1)
    assert before <= counted.last_inference <= time.time_ns() // 1_000_000
    assert (counted.inference_count, counted.execution_count) == (7, 3)
    assert (counted.success.count, counted.fail.count, counted.queue.count) == (3, 0, 3)
    assert {size: batch.compute_infer.count for size, batch in counted.batches.items()} == {1: 1, 3: 2}
    compute = counted.compute
    assert compute.compute_input.count == compute.compute_infer.count == compute.compute_output.count == 3
    assert 0 < compute.compute_infer.ns < counted.success.ns


async def test_rows_are_counted_where_nothing_is_merged_too(engine, control):
    for count in (1, 3, 3):
        await engine.infer(rows(count, "alone"))
    (counted,) = await control.statistics("alone")
    assert (counted.inference_count, counted.execution_count) == (7, 3)
    assert {size: batch.compute_infer.count for size, batch in counted.batches.items()} == {1: 1, 3: 2}


async def test_requests_in_one_batch_are_one_execution(engine, control):
    held = asyncio.gather(*[engine.infer(rows(1)) for _ in range(9)])
    await held
    (counted,) = await control.statistics("affine")
    assert counted.inference_count == counted.success.count == counted.queue.count == 9
    assert counted.execution_count < 9
    assert sum(size * batch.compute_infer.count for size, batch in counted.batches.items()) == 9


async def test_refused_and_late_requests_have_failed(engine, control):
    with pytest.raises(InvalidInput):
        await engine.infer(InferRequest("affine", {"x": np.ones((1, 4), np.float32)}))
    with pytest.raises(DeadlineExceeded):
        await engine.infer(InferRequest("affine", rows(1).inputs, deadline=time.monotonic() + 1e-5))
    (counted,) = await control.statistics("affine", 1)
    assert counted.success.count == counted.inference_count == 0
    assert counted.fail.count >= 1


async def test_statistics_of_what_is_not_there(control):
    with pytest.raises(NotFound):
        await control.statistics("nobody")
    with pytest.raises(NotFound):
        await control.statistics("affine", 9)


async def test_processes_add_up(engine, control):
    await engine.infer(rows(2))
    (counted,) = await control.statistics("affine")
    snapshot = json.loads(json.dumps(counted.snapshot()))
    assert restored(snapshot) == counted
    other = ModelStatistics("affine", 1, last_inference=1, inference_count=5, fail=Duration(2, 7)).snapshot()
    newer = ModelStatistics("affine", 2).snapshot()
    total, alone = merged([newer, snapshot, other])
    assert (total.inference_count, total.success.count, total.fail) == (7, 1, Duration(2, 7))
    assert total.last_inference == counted.last_inference
    assert total.batches[2].compute_infer.count == 1
    assert alone == ModelStatistics("affine", 2)
