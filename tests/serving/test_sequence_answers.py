"""The shipped sketch classifier takes strokes as they are drawn, and answers as to the whole drawing so far."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from serving.engine import Engine, InferRequest
from serving.errors import InvalidInput, Overloaded
from serving.repository import Repository
from serving.sequences import Sequences, SequenceStep
from serving.servables.servable import LoadOptions, load_servable

from .savedmodels import STROKE_RULE, Affine, Labelled, save

SHIPPED = Path(__file__).parents[2] / "models" / "sketchrnn"


@pytest.fixture
async def engine(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "sketchrnn")
    save(Affine(), tmp_path / "affine" / "1")
    save(Labelled(), tmp_path / "labelled" / "1", rules={"strokes": STROKE_RULE})

    def load(name, version, path):
        return load_servable(name, version, path, LoadOptions(threads=1, compile=False))

    repository = Repository(tmp_path, load, poll_seconds=0.05)
    await repository.start()
    engine = Engine(repository, sequences=Sequences(idle_seconds=5))
    engine.base, engine.repository = tmp_path, repository
    yield engine
    await repository.stop(5)


def drawing(length):
    random = np.random.default_rng(7)
    strokes = random.normal(0, 5, (1, length, 3)).astype(np.float32)
    strokes[..., 2] = random.random((1, length)) < 0.1
    return strokes


def ask(strokes, model="sketchrnn", **flags):
    step = SequenceStep("drawing", **flags) if flags else None
    return InferRequest(model, {"strokes": strokes}, sequence=step)


async def test_strokes_are_answered_as_they_are_drawn(engine):
    strokes = drawing(150)
    lengths = [1, 20, 31, 32, 33, 64, 100, 150]
    for start, stop in zip([0, *lengths], lengths, strict=False):
        piece = ask(strokes[:, start:stop], start=start == 0, end=stop == 150)
        so_far = (await engine.infer(piece)).outputs
        whole = (await engine.infer(ask(strokes[:, :stop]))).outputs
        np.testing.assert_allclose(so_far["probabilities"], whole["probabilities"], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(so_far["top_classes"], whole["top_classes"])


async def test_a_drawing_beyond_the_longest_is_refused_and_goes_on_shorter(engine):
    strokes = drawing(300)
    await engine.infer(ask(strokes[:, :250], start=True))
    with pytest.raises(InvalidInput, match="1 to 256"):
        await engine.infer(ask(strokes[:, 250:], start=False))
    answer = (await engine.infer(ask(strokes[:, 250:256], end=True))).outputs
    whole = (await engine.infer(ask(strokes[:, :256]))).outputs
    np.testing.assert_allclose(answer["probabilities"], whole["probabilities"], rtol=1e-5, atol=1e-7)


async def test_a_model_whose_inputs_come_whole_takes_no_sequence(engine):
    request = InferRequest("affine", {"x": np.ones((1, 3), np.float32)}, sequence=SequenceStep(1, start=True))
    with pytest.raises(InvalidInput, match="may come in pieces"):
        await engine.infer(request)


async def test_the_bounds_of_sequences_are_those_that_were_given(engine):
    bounded = Engine(engine.repository, sequences=Sequences(max_sequences=1))
    await bounded.infer(ask(drawing(3), start=True))
    other = InferRequest("sketchrnn", {"strokes": drawing(3)}, sequence=SequenceStep("other", start=True))
    with pytest.raises(Overloaded, match="at most 1 sequences"):
        await bounded.infer(other)


async def test_a_newer_version_goes_on_with_what_came_before(engine):
    strokes = np.linspace(-0.1, 0.1, 16, dtype=np.float32).reshape(1, 8, 2)
    before = await engine.infer(ask(strokes[:, :4], "labelled", start=True))
    save(Labelled(), engine.base / "labelled" / "2", rules={"strokes": STROKE_RULE})
    limit = time.monotonic() + 60
    while engine.metadata("labelled").version == 1 and time.monotonic() < limit:
        await engine.infer(ask(strokes[:, :4], "labelled"))
    after = await engine.infer(ask(strokes[:, 4:], "labelled", end=True))
    whole = await engine.infer(ask(strokes, "labelled"))
    assert (before.version, after.version) == (1, 2)
    np.testing.assert_allclose(after.outputs["scores"], whole.outputs["scores"], rtol=1e-5)
