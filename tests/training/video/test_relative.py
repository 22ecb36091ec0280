"""How motion compares with itself: flows that are made, [1, 15, 56, 56] pixels a frame."""

import numpy as np
from keras import ops

from training.video.relative import COUNT, RelativeMotion, relative

LOCAL = {"jolts": 16, "seams": 17, "mixed": 24, "single": 25, "turns": 26, "later": 29}


def patch(across: np.ndarray) -> np.ndarray:
    """What moves in a square in the middle, by `across` pixels in each frame."""
    flow = np.zeros((1, 15, 56, 56), "float32")
    flow[:, :, 16:40, 16:40] = across[None, :, None, None]
    return flow


def numbers(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(relative(across, down))[0]


STEADY = numbers(patch(np.ones(15)), patch(np.zeros(15)))
SHAKEN = numbers(patch(np.resize([1.0, -1.0], 15)), patch(np.zeros(15)))


def test_shaking_is_told_from_a_walk_of_the_same_speed() -> None:
    assert len(STEADY) == COUNT
    np.testing.assert_allclose(SHAKEN[:5], STEADY[:5], atol=1e-4)  # how much moves
    for name in ("jolts", "mixed", "turns"):
        assert SHAKEN[LOCAL[name]] > STEADY[LOCAL[name]] + 0.5
    assert SHAKEN[LOCAL["single"]] < STEADY[LOCAL["single"]] - 0.5


def test_the_way_that_all_goes_does_not_matter() -> None:
    down = numbers(patch(np.zeros(15)), patch(-np.ones(15)))
    np.testing.assert_allclose(down, STEADY, atol=1e-3)


def test_flat_clips_have_numbers_too() -> None:
    flat = np.full((1, 16, 112, 112, 3), 80, np.uint8)
    found = ops.convert_to_numpy(RelativeMotion()(flat))
    assert found.shape == (1, COUNT)
    assert np.isfinite(found).all()
