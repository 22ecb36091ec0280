"""Where pixels went, found by the flow; pictures are smooth noise, which has something to see everywhere."""

import numpy as np
import pytest
from keras import ops

from training.video.flow import flow, warped

SIDE = 56


def scene() -> np.ndarray:
    """A picture of twice the side to look into, of deviation 1."""
    noise = np.random.default_rng(0).normal(size=(2 * SIDE, 2 * SIDE))
    for axis in (0, 1):
        for _ in range(8):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    return (noise / noise.std()).astype("float32")


def look(picture: np.ndarray, right: int, down: int) -> np.ndarray:
    return picture[20 + down : 20 + down + SIDE, 20 + right : 20 + right + SIDE]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, -2), (4, 3)])
def test_it_finds_where_the_content_went(right: int, down: int) -> None:
    picture = scene()
    clip = np.stack([look(picture, 0, 0), look(picture, -right, -down)])[None]
    across, below = (ops.convert_to_numpy(part)[0, 0, 8:-8, 8:-8] for part in flow(clip))
    assert np.median(across) == pytest.approx(right, abs=0.15)
    assert np.median(below) == pytest.approx(down, abs=0.15)


def test_where_there_is_nothing_to_see_nothing_moves() -> None:
    across, down = flow(np.zeros((1, 3, SIDE, SIDE), "float32"))
    assert across.shape == down.shape == (1, 2, SIDE, SIDE)
    assert not np.any(across)
    assert not np.any(down)


def test_a_picture_is_fetched_from_where_it_went() -> None:
    picture = scene()
    whole = np.full((1, SIDE, SIDE), 3, "float32")
    fetched = ops.convert_to_numpy(warped(look(picture, 0, 0)[None], whole, -whole))[0]
    np.testing.assert_allclose(fetched[3:, :-3], look(picture, 3, -3)[3:, :-3], atol=1e-5)
    np.testing.assert_allclose(fetched[:3, -3:], look(picture, 0, 0)[0, -1], atol=1e-5)
