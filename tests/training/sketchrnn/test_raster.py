import keras
import numpy as np
import pytest

from training.sketchrnn import generate
from training.sketchrnn.features import Features, FiveColumns
from training.sketchrnn.raster import Raster

SOLID = 1 - np.exp(-1.5)  # what a pixel holds in the middle of a line


def picture(*strokes: list[float], size: int = 9, coloured: bool = False, rows: int = 0) -> np.ndarray:
    """The picture of one drawing, with so many rows of padding, as [size, size, channels]."""
    batch = np.pad(np.array([strokes], "float32"), [(0, 0), (0, rows), (0, 0)])
    return keras.ops.convert_to_numpy(Raster(size, coloured=coloured)(*Features()(batch)))[0]


def test_a_line_is_solid_where_it_is_and_nothing_elsewhere() -> None:
    drawn = picture([10, 0, 1])[..., 0]
    np.testing.assert_allclose(drawn[4, 2:7], SOLID, atol=0.02)
    np.testing.assert_allclose(np.delete(drawn, 4, axis=0), 0)
    assert drawn[4, 0] < 0.05 > drawn[4, 8]


def test_a_line_between_pixels_is_shared_by_them() -> None:
    drawn = picture([10, 0, 1], size=10)[..., 0]
    np.testing.assert_allclose(drawn[4, 3:7], drawn[5, 3:7], atol=1e-5)
    np.testing.assert_allclose(drawn[4, 3:7], 1 - np.exp(-0.75), atol=0.02)


def test_it_does_not_matter_into_how_many_points_a_line_is_cut() -> None:
    whole = picture([8, 8, 1], size=16, coloured=True)
    cut = picture([2, 2, 0], [1, 1, 0], [5, 5, 1], size=16, coloured=True)
    np.testing.assert_allclose(cut, whole, atol=1e-3)


def test_the_pen_leaves_no_ink_where_it_is_lifted() -> None:
    drawn = picture([0, 10, 1], [10, 0, 0], [0, -10, 1], size=11)[..., 0]
    np.testing.assert_allclose(drawn[2:9, [1, 9]], SOLID, atol=0.03)
    np.testing.assert_allclose(drawn[:, 3:8], 0, atol=1e-5)


def test_colours_tell_when_and_which_way() -> None:
    ink, time, x, y, cosine, sine = picture([10, 0, 0], [0, 10, 1], size=11, coloured=True).transpose(2, 0, 1)
    along, down = (1, slice(3, 8)), (slice(3, 8), 9)
    np.testing.assert_allclose(x[along], ink[along], atol=1e-4)
    np.testing.assert_allclose(y[down], ink[down], atol=1e-4)
    np.testing.assert_allclose(cosine[along], ink[along], atol=1e-4)
    np.testing.assert_allclose(cosine[down], -ink[down], atol=1e-4)
    np.testing.assert_allclose(sine, 0, atol=0.2)
    walked = np.concatenate([time[along], time[down]])
    assert (np.diff(walked) > 0).all()
    assert walked[0] < -0.5 < 0.5 < walked[-1]


@pytest.mark.parametrize("coloured", [True, False])
def test_awkward_drawings_are_finite(coloured: bool) -> None:
    dot = picture([0, 0, 1], coloured=coloured)
    assert np.isfinite(dot).all()
    assert np.unravel_index(dot[..., 0].argmax(), (9, 9)) == (4, 4)
    assert not picture([0, 0, 0], coloured=coloured).any()
    assert np.isfinite(picture([3, 4, 1], [1e30, 0, 1], coloured=coloured)).all()


def test_padding_adds_nothing() -> None:
    drawing = generate.sketches(train=1, valid=1, test=1).splits["test"][2].tolist()
    expected = picture(*drawing, size=28, coloured=True)
    assert np.abs(expected[..., 0]).max() > 0.5
    np.testing.assert_allclose(picture(*drawing, size=28, coloured=True, rows=40), expected, atol=1e-5)


def test_five_columns_hold_offsets_and_one_state_of_the_pen() -> None:
    strokes = np.array([[[4, 0, 0], [0, 2, 1], [-4, 0, 0], [0, 0, 0]]], "float32")
    ink = keras.ops.convert_to_numpy(FiveColumns()(*Features()(strokes)))[0]
    expected = [[0, 0, 1, 0, 0], [2, 0, 1, 0, 0], [0, 1, 0, 1, 0], [-2, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(ink, expected, atol=1e-6)
