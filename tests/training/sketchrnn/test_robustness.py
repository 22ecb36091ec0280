import numpy as np
import pytest

from training.sketchrnn.data import Drawings
from training.sketchrnn.robustness import CHANGES, cut, rotated, scaled

CORNER = np.array([[10, 0, 0], [0, 5, 1], [-10, 0, 1]], "float32")
DRAWINGS = Drawings.of([CORNER, CORNER[:1]], [3, 4])


def test_a_quarter_turn_is_clockwise_on_a_screen() -> None:
    np.testing.assert_allclose(rotated(DRAWINGS, 90)[0], [[0, 10, 0], [-5, 0, 1], [0, -10, 1]], atol=1e-5)


def test_scaling_leaves_the_pen_alone() -> None:
    np.testing.assert_allclose(scaled(DRAWINGS, 0.5, 2)[0], [[5, 0, 0], [0, 10, 1], [-5, 0, 1]])


def test_the_first_points_remain_and_one_at_least() -> None:
    half = cut(DRAWINGS, 0.5)
    np.testing.assert_array_equal(half[0], CORNER[:2])
    np.testing.assert_array_equal(half[1], CORNER[:1])


@pytest.mark.parametrize("name", CHANGES)
def test_changes_keep_labels_and_leave_the_drawings_as_they_were(name: str) -> None:
    before = DRAWINGS.points.copy()
    changed = CHANGES[name](DRAWINGS)
    assert changed.labels.tolist() == [3, 4]
    assert changed.points.dtype == np.float32
    np.testing.assert_array_equal(DRAWINGS.points, before)
    assert len(changed) == 2
