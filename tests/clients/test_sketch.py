import numpy as np
import pytest

from seqserve_client import InvalidInput
from seqserve_client._sketch import strokes_of_drawing

HOUSE = [[[20, 20, 110, 110, 20], [120, 60, 60, 120, 120]], [[10, 65, 120], [65, 10, 65]]]


def test_offsets_begin_at_nothing_and_lift_after_each_polyline():
    assert strokes_of_drawing([[[5, 7], [1, 1]], [[7], [4]]]).tolist() == [[0, 0, 0], [2, 0, 1], [0, 3, 1]]


def test_offsets_lead_through_all_points():
    rows = strokes_of_drawing(HOUSE)
    points = np.concatenate([np.array(line).T for line in HOUSE])
    np.testing.assert_array_equal(rows[:, :2].cumsum(axis=0) + points[0], points)
    assert rows.dtype == np.float32
    assert np.flatnonzero(rows[:, 2]).tolist() == [4, 7]


def test_times_and_polylines_without_points_are_left_out():
    plain = strokes_of_drawing(HOUSE)
    timed = strokes_of_drawing([[*HOUSE[0], [0, 1, 2, 3, 4]], [[], []], HOUSE[1]])
    np.testing.assert_array_equal(plain, timed)


@pytest.mark.parametrize(
    ("sketch", "best"),
    [
        ({"strokes": [[0, 0, 0], [5, 1, 1]]}, "across"),
        ({"strokes": np.array([[1, -9, 1]], np.float64)}, "down"),
        ({"drawing": [[[0, 10], [3, 3]]]}, "across"),
        ({"drawing": [(np.zeros(3), np.arange(3))]}, "down"),
    ],
)
def test_names_what_a_drawing_shows(client, sketch, best):
    answer = client.classify_sketch(**sketch)
    assert answer.best == best
    assert len(answer.classes) == len(answer.scores) == 2
    assert answer.scores[0] == pytest.approx(max(answer.probabilities))
    assert (answer.model, answer.version) == ("sketchrnn", "1")


@pytest.mark.parametrize(
    ("sketch", "message"),
    [
        ({}, "expected either strokes .* got neither"),
        ({"strokes": [[1, 2, 0]], "drawing": HOUSE}, "got both"),
        ({"strokes": []}, r"at least one row .* Received: shape \[0\]"),
        ({"strokes": [[1, 2]]}, r"Received: shape \[1, 2\]"),
        ({"strokes": [[0, 0, 0]] * 3}, r"Received: shape \[3, 3\] of nothing but zeros"),
        ({"strokes": [[1, float("nan"), 0]]}, "finite numbers. Received: NaN or infinity"),
        ({"strokes": [[1, 1e39, 0]]}, "finite numbers"),
        ({"strokes": [[1, 2, 0], [1, 2, 3]]}, r"lifted to be 1 .* or 0, got 3"),
        ({"strokes": [[1, 2, "up"]]}, "expected numbers"),
        ({"strokes": 5}, "Received: shape"),
        ({"drawing": []}, "got 0 strokes without any"),
        ({"drawing": [[[], []]]}, "got 1 strokes without any"),
        ({"drawing": [[[1, 2], [1]]]}, r"drawing\[0\]: expected as many x as y in a stroke, got 2 x and 1 y"),
        ({"drawing": [HOUSE[0], [[1, 2]]]}, r"drawing\[1\]: expected a list of x"),
        ({"drawing": [[1, 2]]}, "expected flat lists of numbers"),
        ({"drawing": [7]}, r"drawing\[0\]: expected a list of x"),
        ({"drawing": [[[1, float("inf")], [1, 2]]]}, "finite numbers"),
        ({"drawing": [[["a"], ["b"]]]}, "expected numbers"),
        ({"drawing": [[[3e38, -3e38], [0, 0]]]}, "drawing: expected finite numbers"),
    ],
)
def test_refuses_what_is_no_drawing(client, server, sketch, message):
    with pytest.raises(InvalidInput, match=message):
        client.classify_sketch(**sketch)
    assert server.peers.requests == []
