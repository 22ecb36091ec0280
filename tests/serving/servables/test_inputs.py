import json

import numpy as np
import pytest

from serving.errors import FailedPrecondition, InvalidInput
from serving.servables.inputs import InputRule, check_input, read_rules
from serving.signature import TensorSpec

HISTORY = InputRule(
    axis=1, side="left", value=float("nan"), buckets=(4, 8), min_length=2, nan_allowed=True, min_observed=2
)
STROKES = InputRule(axis=1, side="right", value=0.0, buckets=(4, 8), min_length=1)


def test_padding_stands_on_the_stated_side():
    padded = HISTORY.padded(np.array([[1.0, 2.0]], "f"), 4)
    np.testing.assert_array_equal(padded, np.array([[np.nan, np.nan, 1.0, 2.0]], "f"))
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(STROKES.padded(np.ones((1, 1, 2), "f"), 2), [[[1.0, 1.0], [0.0, 0.0]]])


def test_the_bucket_is_the_least_that_holds_the_length():
    assert [STROKES.bucket(n) for n in (1, 4, 5, 8)] == [4, 4, 8, 8]


@pytest.mark.parametrize(
    ("rule", "array", "message"),
    [
        (STROKES, np.ones((1, 9, 3), "f"), r"a length of 1 to 8 on axis 1; received: 9"),
        (STROKES, np.ones((1, 0, 3), "f"), r"a length of 1 to 8 on axis 1; received: 0"),
        (STROKES, np.full((1, 2, 3), np.nan, "f"), "must be finite; received: NaN or infinity"),
        (STROKES, np.full((1, 2, 3), np.inf, "f"), "must be finite; received: NaN or infinity"),
        (HISTORY, np.full((1, 3), -np.inf, "f"), r"finite or NaN \(missing\); received: infinity"),
        (HISTORY, np.array([[1, 2, 3], [1, np.nan, np.nan]], "f"), "at least 2 values that are not NaN.*received: 1"),
    ],
)
def test_what_breaks_a_rule_is_refused_in_its_terms(rule, array, message):
    with pytest.raises(InvalidInput, match=message):
        rule.check("x", array)


def test_missing_values_are_welcome_where_they_mean_something():
    HISTORY.check("x", np.array([[np.nan, 1.0, 2.0]], "f"))


@pytest.mark.parametrize(
    ("array", "fits"),
    [
        (np.zeros((2, 3), "f"), True),
        (np.zeros((2, 4), "f"), False),
        (np.zeros((3,), "f"), False),
        (np.zeros((2, 3), "d"), False),
        (np.array([[b"a", b"b", b"c"]], object), False),
    ],
)
def test_dtype_and_shape_must_be_the_signatures(array, fits):
    spec = TensorSpec("x", "float32", (None, 3))
    if fits:
        check_input(spec, array)
    else:
        with pytest.raises(InvalidInput, match=r"input 'x' must be float32 \[\?, 3\]; received: "):
            check_input(spec, array)


def test_rules_are_read_from_the_version_directory(tmp_path):
    assert read_rules(tmp_path) == {}
    extra = tmp_path / "assets.extra"
    extra.mkdir()
    rule = {"axis": 1, "side": "left", "value": "NaN", "buckets": [7, 9], "min_length": 7, "nan_allowed": True}
    (extra / "inputs.json").write_text(json.dumps({"history": rule}))
    assert np.isnan(read_rules(tmp_path)["history"].value)
    for broken in ("{", '{"x": {"axes": 1}}', '{"x": {"axis": 1, "buckets": [4, 2]}}'):
        (extra / "inputs.json").write_text(broken)
        with pytest.raises(FailedPrecondition, match=r"inputs\.json"):
            read_rules(tmp_path)
