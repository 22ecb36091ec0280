import keras
import numpy as np
import pytest

from training.video import model
from training.video.model import Correlation, Light

CLIPS = np.random.default_rng(0).integers(0, 255, (3, 16, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    return model.build(10)


def logits(classifier: keras.Model, frames: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(classifier(frames, training=False))


def test_it_is_small(classifier: keras.Model) -> None:
    assert classifier.count_params() * 4 < 3e6


def test_an_answer_does_not_depend_on_its_batch(classifier: keras.Model) -> None:
    together = logits(classifier, CLIPS)
    for row in range(3):
        np.testing.assert_allclose(logits(classifier, CLIPS[row : row + 1])[0], together[row], atol=1e-4)


def test_flat_clips_are_answered_with_numbers(classifier: keras.Model) -> None:
    flat = np.stack([np.full((16, 112, 112, 3), shade, np.uint8) for shade in (0, 255)])
    assert np.isfinite(logits(classifier, flat)).all()


def test_order_matters(classifier: keras.Model) -> None:
    assert np.abs(logits(classifier, CLIPS) - logits(classifier, CLIPS[:, ::-1])).max() > 1e-3


def test_both_streams_reach_every_weight(classifier: keras.Model) -> None:
    tf = pytest.importorskip("tensorflow")
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(classifier(CLIPS[:1], training=False)))
    gradients = tape.gradient(loss, [variable.value for variable in classifier.trainable_variables])
    assert [v.path for v, g in zip(classifier.trainable_variables, gradients, strict=True) if g is None] == []


def test_light_has_the_same_range_for_dim_and_bright_clips() -> None:
    light = Light()
    bright, dim = CLIPS[:1], CLIPS[:1] // 4
    first, second = (keras.ops.convert_to_numpy(light(clip)) for clip in (bright, dim))
    assert first.shape == (1, 16, 56, 56, 1)
    assert abs(first.mean()) < 1e-4
    assert first.std() == pytest.approx(1.0, abs=0.1)
    assert np.abs(first - second).mean() < 0.15


def test_correlation_peaks_where_the_content_went() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(8, 8, 6)).astype("float32")
    after = np.roll(before, (1, -1), axis=(0, 1))  # down by one, left by one
    matches = keras.ops.convert_to_numpy(Correlation()(np.stack([before, after])[None]))

    assert matches.shape == (1, 1, 8, 8, 9)
    inside = matches[0, 0, 1:-1, 1:-1]
    assert (inside.argmax(axis=-1) == 2 * 3 + 0).all()
    np.testing.assert_allclose(inside.max(axis=-1), 1.0, atol=1e-3)
