import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.api.reading import read_json
from serving.api.sketch import SketchRequest, classify_sketch, drawing_to_strokes
from serving.errors import InvalidInput, Overloaded

SQUARE = [[[0, 10, 10, 0, 0], [0, 0, 10, 10, 0]], [[5, 5], [5, 6]]]
SQUARE_STROKES = [[0, 0, 0], [10, 0, 0], [0, 10, 0], [-10, 0, 0], [0, -10, 1], [5, 5, 0], [0, 1, 1]]

UNHURRIED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

coordinates = st.floats(-1000, 1000, width=32) | st.integers(-1000, 1000)
strokes_of_points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=12)
drawings = st.lists(
    strokes_of_points.map(lambda points: [[x for x, _ in points], [y for _, y in points]]), min_size=1, max_size=6
)


async def test_the_five_best_classes_are_answered(engine):
    answer = await classify_sketch(engine, SketchRequest(drawing=SQUARE), timeout=5)
    body = answer.model_dump(mode="json")
    assert list(body) == ["model", "version", "classes"]
    assert (body["model"], body["version"]) == ("sketchrnn", 1)
    assert body["classes"][0] == {"label": "cat", "score": 0.9}
    assert [entry["label"] for entry in body["classes"]] == ["cat", "dog", "owl", "fox", "bee"]
    assert engine.requests[0].outputs == ("top_classes", "top_scores")


async def test_points_become_offsets(engine):
    await classify_sketch(engine, SketchRequest(drawing=SQUARE), timeout=5)
    assert engine.requests[0].inputs["strokes"].tolist() == [SQUARE_STROKES]


async def test_offsets_are_passed_on_as_they_are(engine):
    await classify_sketch(engine, SketchRequest(strokes=SQUARE_STROKES), timeout=5)
    assert engine.requests[0].inputs["strokes"].tolist() == [SQUARE_STROKES]


async def test_the_deadline_goes_along(engine):
    before = time.monotonic()
    await classify_sketch(engine, SketchRequest(drawing=SQUARE), timeout=3)
    assert before + 3 <= engine.requests[0].deadline <= time.monotonic() + 3


async def test_what_the_engine_raises_is_raised(engine):
    engine.failure = Overloaded("full")
    with pytest.raises(Overloaded, match="full"):
        await classify_sketch(engine, SketchRequest(drawing=SQUARE), timeout=5)


@given(drawings)
@UNHURRIED
def test_summed_up_offsets_give_the_drawing_back(drawing):
    strokes = drawing_to_strokes(drawing)
    points = np.cumsum(strokes[:, :2].astype(np.float64), axis=0)
    original = np.concatenate([np.array(stroke, np.float64).T for stroke in drawing])
    np.testing.assert_allclose(points, original - original[0], atol=2e-3)
    ends = np.cumsum([len(x) for x, _ in drawing]) - 1
    assert np.flatnonzero(strokes[:, 2]).tolist() == ends.tolist()


@given(drawings, st.floats(-1e5, 1e5))
@UNHURRIED
def test_the_position_does_not_matter(drawing, shift):
    moved = [[[x + shift for x in stroke[0]], stroke[1]] for stroke in drawing]
    np.testing.assert_allclose(drawing_to_strokes(moved), drawing_to_strokes(drawing), atol=1e-3)


def test_times_and_strokes_without_points_do_not_matter():
    timed = [[*stroke, list(range(len(stroke[0])))] for stroke in SQUARE]
    request = read_json(SketchRequest, f'{{"drawing": {[[[], []], *timed]}}}'.encode())
    assert drawing_to_strokes(request.drawing).tolist() == SQUARE_STROKES


def test_a_lone_point_is_a_drawing():
    assert drawing_to_strokes([[[5], [5]]]).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "expected either strokes (offsets) or drawing (points), got neither"),
        ('{"strokes": [[1, 1, 1]], "drawing": [[[1], [1]]]}', "got both"),
        ('{"strokes": []}', "strokes: expected at least one row (dx, dy, lifted) of a drawing, got none"),
        ('{"strokes": [[0, 0, 0], [0, 0, 0]]}', "got 2 of nothing but zeros"),
        ('{"drawing": []}', "drawing: expected at least one point in a drawing, got 0 strokes without any"),
        ('{"drawing": [[[], []]]}', "got 1 strokes without any"),
        ('{"strokes": [[1, 1]]}', "strokes[0]: expected three numbers (dx, dy, lifted), got 2"),
        ('{"strokes": [[1, 1, 0], [1, 1, 0, 1]]}', "strokes[1]: expected three numbers (dx, dy, lifted), got 4"),
        (
            '{"strokes": [[1, 1, 2]]}',
            "strokes[0]: expected lifted to be 1 (the pen leaves the paper after this point) or 0",
        ),
        ('{"strokes": [[1, 1, 0.5]]}', "got 0.5"),
        ('{"strokes": [[1, 1, true]]}', "strokes[0][2]: expected a valid number. Received: true"),
        ('{"strokes": [[1, NaN, 0]]}', "strokes[0][1]: expected a finite number. Received: NaN"),
        ('{"strokes": [[Infinity, 1, 0]]}', "strokes[0][0]: expected a finite number. Received: Infinity"),
        ('{"strokes": [[1e300, 1, 0]]}', "strokes[0]: expected coordinates from -1,000,000 to 1,000,000, got 1e+300"),
        ('{"strokes": [["1", 1, 0]]}', 'strokes[0][0]: expected a valid number. Received: "1"'),
        ('{"strokes": [1, 1, 0]}', "strokes[0]: expected a valid array. Received: 1"),
        ('{"drawing": [[[1, 2], [1]]]}', "drawing[0]: expected as many x as y in a stroke, got 2 x and 1 y"),
        (
            '{"drawing": [[[1, 2]]]}',
            "drawing[0]: expected a list of x, a list of y, and perhaps one of times, got 1 lists",
        ),
        ('{"drawing": [[[1], [1], [1], [1]]]}', "got 4 lists"),
        ('{"drawing": [[[1], [2e6]]]}', "drawing[0]: expected coordinates from"),
        ('{"drawing": [[[1], [null]]]}', "drawing[0][1][0]: expected a valid number. Received: null"),
        ('{"drawing": [[1, 2], [3, 4]]}', "drawing[0][0]: expected a valid array. Received: 1"),
        ('{"drawing": {"x": [1]}}', "drawing: expected a valid array. Received: an object"),
        ('{"drawings": [[[1], [1]]]}', "drawings: expected no field of this name"),
    ],
)
def test_bad_bodies_are_refused_with_what_was_expected_and_what_came(body, message):
    with pytest.raises(InvalidInput) as refused:
        read_json(SketchRequest, body.encode())
    assert message in refused.value.message


async def test_ten_thousand_points_are_left_to_the_model_to_refuse(engine):
    engine.failure = InvalidInput("expected at most 256 points, got 10000")
    with pytest.raises(InvalidInput, match="256"):
        await classify_sketch(engine, SketchRequest(drawing=[[[1.0] * 10_000, [1.0] * 10_000]]), timeout=5)


def test_the_example_of_the_documentation_is_true():
    example = SketchRequest.model_validate(SketchRequest.model_config["json_schema_extra"]["example"])
    assert drawing_to_strokes(example.drawing)[:, 2].sum() == len(example.drawing)
