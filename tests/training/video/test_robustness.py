import numpy as np
import pytest

from training.datasets.camera_motion import camera_clip
from training.video.activation import activation, draw
from training.video.robustness import RECORDINGS, recorded

CLIP = camera_clip(np.random.default_rng(2), "pan_left")


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_shows_the_same_clip(name: str) -> None:
    again = recorded(CLIP[None], RECORDINGS[name])
    assert again.shape == (1, *CLIP.shape)
    assert again.dtype == np.uint8
    nearest = [np.abs(CLIP.astype(int) - frame).mean(axis=(1, 2, 3)).argmin() for frame in again[0]]
    assert np.abs(np.array(nearest) - np.arange(16)).max() <= 1
    assert not (again[0] == CLIP).all()
    assert np.corrcoef(again[0, 0].ravel(), CLIP[0].ravel())[0, 1] > 0.8


def test_an_activation_follows_the_clips() -> None:
    dark, bright = np.zeros((16, 112, 112, 3), np.uint8), np.full((16, 112, 112, 3), 255, np.uint8)

    def classify(frames: np.ndarray) -> np.ndarray:
        light = frames.mean(axis=(1, 2, 3, 4)) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)

    found = activation(classify, [dark, bright], ["dark", "bright"])
    assert found.cuts == (16,)
    assert found.middles[0] == 7.5
    assert found.middles[-1] == 23.5
    np.testing.assert_allclose(found.probabilities[[0, 4, -1], 1], [0.0, 0.5, 1.0])

    strip, curves = draw(found, ("dark", "bright")).axes
    assert len(strip.images) == 12
    assert {line.get_label() for line in curves.lines[:2]} == {"dark", "bright"}


def test_a_clip_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match=r"16 or more frames. Received: 4"):
        activation(lambda frames: frames, [CLIP[:4]], ["short"])
