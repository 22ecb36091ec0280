"""Payloads are what the models take, and are as mixed as callers are."""

import io
from datetime import date

import av
import numpy as np
import pytest

from loadtests import payloads
from loadtests.tensors import OUTPUTS, inputs


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_series_have_many_lengths_gaps_and_dates():
    many = payloads.pool(payloads.series, 300, seed=1)
    lengths = [one.values.size for one in many]
    assert min(lengths) >= payloads.MIN_OBSERVED
    assert max(lengths) <= 1024
    assert len(set(lengths)) > 30
    for one in many:
        assert one.values.dtype == np.float32
        assert not np.isinf(one.values).any()
        assert np.count_nonzero(~np.isnan(one.values)) >= payloads.MIN_OBSERVED
        assert one.last_date is None or isinstance(one.last_date, date)
    gaps = [np.isnan(one.values).any() for one in many]
    assert 0.2 < np.mean(gaps) < 0.6
    assert 0.5 < np.mean([one.last_date is not None for one in many]) < 0.8


def test_a_seed_gives_the_same_payloads_again():
    first, second = (payloads.pool(payloads.series, 5, seed=3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_drawings_have_many_lengths_and_stay_on_the_page():
    many = payloads.pool(payloads.drawing, 200, seed=1)
    points = [sum(len(xs) for xs, _ in drawing) for drawing in many]
    assert max(points) <= 256
    assert len(set(points)) > 30
    assert all(0 <= value <= 255 for drawing in many for line in drawing for axis in line for value in axis)


def test_strokes_are_offsets_with_the_pen_lifted_after_each_line():
    rows = payloads.strokes([[[5, 7], [1, 1]], [[7], [4]]])
    assert rows.tolist() == [[0, 0, 0], [2, 0, 1], [0, 3, 1]]


def test_clips_are_of_every_kind_and_decode():
    clips = payloads.pool(payloads.clip, 12, seed=2)
    assert {clip.name for clip in clips} == {"clip.mp4", "clip.webm", "clip.gif"}
    for clip in {clip.name: clip for clip in clips}.values():
        with av.open(io.BytesIO(clip.content)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 20


def test_frames_move(rng):
    frames = payloads.frames(rng)
    assert frames.shape == (16, 112, 112, 3)
    assert frames.dtype == np.uint8
    assert any((frames[0] != frame).any() for frame in frames)


@pytest.mark.parametrize("model", OUTPUTS)
def test_inputs_are_a_batch_of_one(rng, model):
    dtypes = {"history": "float32", "end_day": "int32", "strokes": "float32", "frames": "uint8"}
    for name, array in inputs(model, rng).items():
        assert len(array) == 1
        assert array.dtype == dtypes[name]


def test_inputs_know_three_models(rng):
    with pytest.raises(ValueError, match="Received: 'other'"):
        inputs("other", rng)
