import keras
import numpy as np
import pytest

from training.video.architectures import build
from training.video.imagenet import mobilenet
from training.video.model import Colours, Correlation, Light, VideoConfig

CLIPS = np.random.default_rng(0).integers(0, 255, (3, 16, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build("two_stream", 10)


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


def test_colours_keep_their_proportions_in_dim_and_bright_clips() -> None:
    red = np.zeros((1, 16, 112, 112, 3), np.uint8)
    red[..., :56, 0] = 200
    bright, dim = (keras.ops.convert_to_numpy(Colours(4)(clip)) for clip in (red, red // 4))
    assert bright.shape == (1, 16, 28, 28, 3)
    assert np.abs(bright - dim).max() < 0.15
    assert (bright[..., :14, 0] > bright[..., :14, 1] + 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": "tanh"}, "lstm, gru, conv"),
        ({"dropout": 1.0}, "dropout from 0 up to 1"),
        ({"bptt": -1}, "bptt of 0 or more"),
        ({"cell": "conv", "bptt": 4}, "0 with cell 'conv'"),
        ({"cell": "conv", "recurrent_dropout": 0.1}, "recurrent_dropout 0 with cell 'conv'"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoConfig(**changes)


@pytest.mark.parametrize("arch", ["cnn3d", "convlstm", "motion_statistics", "relative_motion"])
def test_what_an_architecture_has_no_use_for_is_refused(arch: str) -> None:
    with pytest.raises(ValueError, match=f"no imagenet and no cell for {arch}"):
        build(arch, 2, VideoConfig(imagenet=True, cell="gru"))


@pytest.mark.parametrize("arch", ["cnn3d", "motion_statistics", "relative_motion"])
def test_recurrent_dropout_without_a_recurrent_layer_is_refused(arch: str) -> None:
    with pytest.raises(ValueError, match=f"for {arch}.*Received: recurrent_dropout=0.1"):
        build(arch, 2, VideoConfig(recurrent_dropout=0.1))


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"convlstm, motion_statistics, relative_motion. Received: 'cnn4d'"):
        build("cnn4d", 2)


@pytest.mark.parametrize("config", [VideoConfig(cell="gru", bptt=4), VideoConfig(cell="conv")], ids=lambda c: c.cell)
@pytest.mark.parametrize("arch", ["two_stream", "cnn_lstm"])
def test_another_layer_may_follow_the_clip(arch: str, config: VideoConfig) -> None:
    assert build(arch, 3, config)(CLIPS[:1]).shape == (1, 3)


def test_the_appearance_may_come_from_another_network() -> None:
    features = mobilenet(weights=None)(np.zeros((1, 112, 112, 3), "float32"))
    assert features.shape == (1, 4, 4, 576)


def test_a_download_that_fails_says_what_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> keras.Model:
        raise Exception("URL fetch failure")  # as Keras does

    monkeypatch.setattr(keras.applications, "MobileNetV3Small", unreachable)
    with pytest.raises(OSError, match=r"--imagenet.*URL fetch failure"):
        mobilenet()
