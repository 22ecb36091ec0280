"""What needs no learning is computed once, for clips and for copies that stray from them."""

import keras
import numpy as np
import pytest

from training.datasets.clip_store import FRAMES, SIDE, Clips, Frames
from training.video.fixed import Copies, describe, split_after


@pytest.fixture
def brightness() -> keras.Model:
    """The mean of a clip, and two classes by it."""
    frames = keras.Input((FRAMES, SIDE, SIDE, 3), dtype="uint8")
    mean = keras.layers.Lambda(lambda clip: keras.ops.mean(keras.ops.cast(clip, "float32"), (2, 3, 4)), name="mean")
    return keras.Model(frames, keras.layers.Dense(2, name="logits")(mean(frames)))


def brighter(rng: np.random.Generator, frames: Frames, label: int) -> tuple[Frames, int]:
    return frames + np.uint8(rng.integers(1, 100)), 1 - label


@pytest.fixture
def clips() -> Clips:
    frames = np.zeros((10, FRAMES, SIDE, SIDE, 3), np.uint8)
    frames += np.arange(10, dtype=np.uint8)[:, None, None, None, None]
    return Clips(frames, np.arange(10, dtype=np.int32) % 2, ("even", "odd"))


def test_the_parts_of_a_model_make_the_whole(brightness: keras.Model, clips: Clips) -> None:
    first, second = split_after(brightness, "mean")
    assert [weight.path for weight in second.weights] == [weight.path for weight in brightness.weights]
    np.testing.assert_allclose(second(first(clips.frames)), brightness(clips.frames), atol=1e-6)


def test_the_first_copy_is_the_clip_and_the_others_stray(brightness: keras.Model, clips: Clips) -> None:
    first, _ = split_after(brightness, "mean")
    found = describe(first, clips, brighter, seed=0, compiled=False)
    assert found.features.shape == (16, 10, FRAMES)
    np.testing.assert_allclose(found.features[0, :, 0], np.arange(10))
    assert (found.features[1:, :, 0] > np.arange(10)).all()
    np.testing.assert_array_equal(found.labels[0], clips.labels)
    np.testing.assert_array_equal(found.labels[1:], np.broadcast_to(1 - clips.labels, (15, 10)))
    again, other = (describe(first, clips, brighter, seed=seed, compiled=False).features for seed in (0, 1))
    np.testing.assert_array_equal(again, found.features)
    assert (other[1:] != found.features[1:]).any()
    assert describe(first, clips, None, seed=0, compiled=False).features.shape == (1, 10, FRAMES)


def test_a_batch_takes_each_clip_in_a_copy_by_chance() -> None:
    features = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    labels = np.array([[0, 1], [1, 0], [0, 1]], np.int32)
    got, named = Copies(features, labels)(np.array([1] * 50), np.random.default_rng(0))
    assert set(got[:, 0]) == {1.0, 3.0, 5.0}
    assert all(label == (0 if feature == 3 else 1) for feature, label in zip(got[:, 0], named, strict=True))
