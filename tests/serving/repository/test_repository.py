"""Versions come and go under a real repository of real SavedModels, asked through the engine."""

import asyncio
import shutil
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

from serving.engine import Engine, InferRequest
from serving.errors import Code, DeadlineExceeded, InvalidInput, NotFound
from serving.metrics import Metrics
from serving.repository import Repository, RepositoryEvents, State
from serving.servables.servable import LoadOptions, load_servable

from ..savedmodels import STROKE_RULE, Affine, Labelled, Normalised, save

X = np.array([[1.0, 1.0, 1.0]], "f")


class Watched(Engine):
    """An engine that shows its repository."""

    def __init__(self, repository, **options):
        super().__init__(repository, **options)
        self.repository = repository


@asynccontextmanager
async def serving(base, *, poll=0.05, metrics=None, load=None, timeout=30.0):
    def loading(name, version, path):
        observe = (lambda report: metrics.ran(name, report)) if metrics else (lambda report: None)
        return load_servable(name, version, path, LoadOptions(threads=1), observe)

    events = RepositoryEvents()
    answered = None
    if metrics:
        events = RepositoryEvents(metrics.loaded, metrics.unloaded, metrics.load_failed)
        answered = metrics.answered
    repository = Repository(base, load or loading, poll_seconds=poll, events=events)
    engine = Watched(repository, timeout=timeout, **({"answered": answered} if answered else {}))
    await repository.start()
    try:
        yield engine
    finally:
        await repository.stop(5)


async def eventually(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def answer(engine, **options):
    return await engine.infer(InferRequest("m", {"x": X}, **options))


def states(engine, model="m"):
    return {status.version: status.state for status in engine.repository.statuses(model)}


async def test_the_latest_version_serves(tmp_path):
    save(Affine(2.0), tmp_path / "m" / "2")
    save(Affine(10.0), tmp_path / "m" / "10")
    async with serving(tmp_path) as engine:
        result = await answer(engine)
        assert (result.version, result.outputs["y"].tolist()) == (10, [16.0])
        assert (await answer(engine, version=10)).version == 10
        with pytest.raises(NotFound, match=r"Servable not found for request: Specific\(m, 2\)"):
            await answer(engine, version=2)
        with pytest.raises(NotFound, match=r"Servable not found for request: Latest\(other\)"):
            await engine.infer(InferRequest("other", {"x": X}))
        with pytest.raises(InvalidInput, match="Unrecognized servable version label: canary"):
            await answer(engine, label="canary")


async def test_a_new_version_takes_over_without_a_failed_request(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        seen = []

        async def traffic():
            while not seen or seen[-1] != 2:
                result = await answer(engine)
                assert result.outputs["y"].tolist() == [6.0 + result.version]
                seen.append(result.version)

        task = asyncio.create_task(traffic())
        save(Affine(2.0), tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "m" / "2")
        await asyncio.wait_for(task, 30)
        assert seen[0] == 1
        assert seen == sorted(seen)
        await eventually(lambda: states(engine) == {2: State.AVAILABLE, 1: State.END})


async def test_a_broken_version_changes_nothing_and_says_why(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        broken = tmp_path / "m" / "2"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"rubbish")
        await eventually(lambda: states(engine).get(2) is State.END)
        assert (await answer(engine)).version == 1
        (status,) = [s for s in engine.repository.statuses("m") if s.version == 2]
        assert status.code is Code.FAILED_PRECONDITION
        assert "cannot load this SavedModel" in status.message
        with pytest.raises(NotFound, match=r"Specific\(m, 2\) \(version 2 failed to load: cannot load"):
            await answer(engine, version=2)
        shutil.rmtree(broken)
        save(Affine(2.0), broken)
        await eventually(lambda: states(engine).get(2) is State.AVAILABLE)
        assert (await answer(engine)).version == 2


async def test_a_version_that_fails_its_own_warm_up_does_not_replace_one_that_works(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        save(Affine(2.0), tmp_path / "copy", warmup=[{"x": np.ones((1, 7), "f")}])
        (tmp_path / "copy").rename(tmp_path / "m" / "2")
        await eventually(lambda: states(engine).get(2) is State.END)
        assert (await answer(engine)).version == 1


@pytest.mark.parametrize("axis", [2, 7])
async def test_padding_rules_that_the_signature_cannot_keep_fail_one_model_only(tmp_path, axis):
    save(Labelled(), tmp_path / "bad" / "1", rules={"strokes": STROKE_RULE | {"axis": axis}}, sizes=(1, 2))
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        assert (await answer(engine)).version == 1
        (status,) = engine.repository.statuses("bad")
        assert (status.state, status.code) == (State.END, Code.FAILED_PRECONDITION)
        assert f"must have a variable axis {axis}" in status.message


async def test_a_slow_switch_of_one_model_does_not_hold_up_another(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    gate = threading.Event()

    def load(name, version, path):
        servable = load_servable(name, version, path, LoadOptions(threads=1))
        if name == "m" and version == 2:
            servable.compiled = lambda compiler: asyncio.to_thread(gate.wait, 20)
        return servable

    async with serving(tmp_path, load=load) as engine:
        save(Affine(2.0), tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "m" / "2")
        await eventually(lambda: states(engine).get(2) is State.LOADING)
        save(Affine(1.0), tmp_path / "copies" / "1")
        (tmp_path / "copies").rename(tmp_path / "other")
        await eventually(lambda: engine.ready("other"))
        assert (await answer(engine)).version == 1
        gate.set()
        await eventually(lambda: states(engine).get(2) is State.AVAILABLE)


async def test_batches_of_shapes_that_nobody_foresaw_get_compiled_when_they_come(tmp_path):
    save(Labelled(), tmp_path / "m" / "1", sizes=(1, 2))
    async with serving(tmp_path) as engine:
        await engine.infer(InferRequest("m", {"strokes": np.ones((2, 5, 2), "f")}))
        (servable,) = engine._repository.servables()
        function = servable._functions["serving_default"]
        await eventually(lambda: function.program.is_ready({"strokes": np.zeros((2, 5, 2), "f")}))


async def test_a_version_that_is_still_being_copied_is_not_loaded(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    whole = save(Affine(2.0), tmp_path / "whole")
    async with serving(tmp_path, poll=0.2) as engine:
        partial = tmp_path / "m" / "2"
        partial.mkdir()
        shutil.copy(whole / "saved_model.pb", partial)
        for count in range(8):
            (partial / "growing").write_bytes(b"x" * count)
            await asyncio.sleep(0.1)
            assert states(engine) == {1: State.AVAILABLE}
        shutil.copytree(whole, partial, dirs_exist_ok=True)
        await eventually(lambda: states(engine).get(2) is State.AVAILABLE)


async def test_a_vanished_directory_does_not_unload_what_serves(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        shutil.rmtree(tmp_path / "m")
        await asyncio.sleep(0.3)
        assert (await answer(engine)).version == 1


async def test_a_model_that_comes_later_is_served(tmp_path):
    async with serving(tmp_path) as engine:
        assert engine.ready()
        assert not engine.ready("m")
        save(Affine(1.0), tmp_path / "copy" / "1")
        (tmp_path / "copy").rename(tmp_path / "m")
        await eventually(lambda: engine.ready("m"))
        assert (await answer(engine)).version == 1


async def test_a_request_before_the_first_load_waits_no_longer_than_its_deadline(tmp_path):
    save(Affine(1.0), tmp_path / "m" / "1")
    repository = Repository(tmp_path, lambda n, v, p: load_servable(n, v, p, LoadOptions(threads=1)), poll_seconds=0)
    engine = Watched(repository, timeout=20)
    assert not engine.ready()
    with pytest.raises(DeadlineExceeded, match="before the request arrived"):
        await answer(engine, deadline=0.0)
    waiting = asyncio.create_task(answer(engine))
    await repository.start()
    assert (await waiting).version == 1
    await repository.stop(5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"input size does not match signature: 0!=1 .*Missing but required: {x}"),
        ({"x": X, "z": X}, r"input size does not match signature: 2!=1 .*Sent extra: {z}"),
        ({"x": X.astype("d")}, r"must be float32 \[\?, 3\]; received: float64 \[1, 3\]"),
        ({"x": np.ones((1, 4), "f")}, r"received: float32 \[1, 4\]"),
        ({"x": np.float32(1.0).reshape(())}, r"received: float32 \[\]"),
    ],
)
async def test_bad_input_is_told_what_was_expected(tmp_path, inputs, message):
    save(Affine(1.0), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        with pytest.raises(InvalidInput, match=message):
            await engine.infer(InferRequest("m", inputs))
        with pytest.raises(InvalidInput, match=r"has the outputs {y}; received: {z}"):
            await answer(engine, outputs=["z"])
        with pytest.raises(NotFound, match=r"has the signatures \{serving_default\}; received: 'other'"):
            await answer(engine, signature="other")
        assert (await answer(engine)).outputs["y"].tolist() == [7.0]


async def test_mixed_lengths_get_the_answers_they_would_get_alone(tmp_path):
    save(Labelled(), tmp_path / "m" / "1", rules={"strokes": STROKE_RULE}, sizes=(1, 4, 8))
    metrics = Metrics(registry := __import__("prometheus_client").CollectorRegistry())
    generator = np.random.default_rng(1)
    inputs = [generator.normal(size=(1 + i % 2, 1 + i % 16, 2)).astype("f") for i in range(48)]
    async with serving(tmp_path, metrics=metrics) as engine:
        alone = [await engine.infer(InferRequest("m", {"strokes": array})) for array in inputs]
        together = await asyncio.gather(*[engine.infer(InferRequest("m", {"strokes": array})) for array in inputs])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.outputs["scores"], other.outputs["scores"], atol=1e-5)
        assert one.outputs["label"].tolist() == other.outputs["label"].tolist()
    assert registry.get_sample_value("seqserve_requests_total", {"model": "m", "code": "OK"}) == 96
    batches = registry.get_sample_value("seqserve_compute_seconds_count", {"model": "m"})
    assert 48 < batches < 96
    assert registry.get_sample_value("seqserve_padding_elements_total", {"model": "m"}) > 0
    assert registry.get_sample_value("seqserve_version_loaded", {"model": "m", "version": "1"}) == 0


async def test_a_free_axis_is_not_taken_for_a_batch_unless_the_model_says_so(tmp_path):
    save(Normalised(), tmp_path / "m" / "1")
    async with serving(tmp_path) as engine:
        requests = [InferRequest("m", {"x": np.arange(1, n, dtype="f")}) for n in (3, 4, 5)]
        for request, result in zip(requests, await asyncio.gather(*map(engine.infer, requests)), strict=True):
            np.testing.assert_allclose(result.outputs["y"], request.inputs["x"] / request.inputs["x"].sum(), rtol=1e-6)


async def test_every_shape_of_a_batched_model_gets_compiled(tmp_path):
    save(Labelled(), tmp_path / "m" / "1", rules={"strokes": STROKE_RULE}, sizes=(1, 2))
    loaded = []

    def load(name, version, path):
        loaded.append(load_servable(name, version, path, LoadOptions(threads=1)))
        return loaded[0]

    async with serving(tmp_path, load=load) as engine:
        program = loaded[0]._functions["serving_default"].program
        shapes = [{"strokes": np.zeros((rows, n, 2), "f")} for rows in (1, 2) for n in STROKE_RULE["buckets"]]
        assert not all(program.is_ready(shape) for shape in shapes)
        await eventually(lambda: all(program.is_ready(shape) for shape in shapes))
        assert engine.ready("m")
