"""Drawings: from strokes or polylines to the sketch model's input, and from its outputs to classes."""

from collections.abc import Sequence

import numpy as np

from seqserve_client._exceptions import BadAnswer, InvalidInput
from seqserve_client._results import Classification, InferResult
from seqserve_client._tensors import Array

Strokes = Sequence[Sequence[float]] | Array
Drawing = Sequence[Sequence[Sequence[float]]]


def strokes_of_drawing(drawing: Drawing) -> Array:
    """float32 [points, 3] in sketch-rnn's layout from polylines [[xs, ys], …] in any scale.

    A third list, of times, is not looked at; polylines without points are left out.
    Each row is the offset from the point before, so that the first is (0, 0); the third column is 1 on the
    last point of each polyline, where the pen is lifted.
    Source: David Ha and Douglas Eck, "A Neural Representation of Sketch Drawings", 2017.
    """
    lines = [points for i, line in enumerate(drawing) if len(points := _polyline(i, line))]
    if not lines:
        raise InvalidInput(f"drawing: expected at least one point in a drawing, got {len(drawing)} strokes without any")
    points = np.concatenate(lines)
    offsets = np.diff(points, axis=0, prepend=points[:1])
    lifted = np.zeros((len(points), 1))
    lifted[np.cumsum([len(line) for line in lines]) - 1] = 1
    return _finite("drawing", np.hstack([offsets, lifted])).astype(np.float32)


def _polyline(number: int, line: Sequence[Sequence[float]]) -> Array:
    place = f"drawing[{number}]"
    try:
        x, y, lists = line[0], line[1], len(line)
    except (TypeError, LookupError):
        x, y, lists = (), (), 0
    if lists not in (2, 3):
        raise InvalidInput(
            f"{place}: expected a list of x, a list of y, and perhaps one of times. Received: {line!r:.80}"
        )
    if np.ndim(x) != 1 or np.ndim(y) != 1:
        raise InvalidInput(f"{place}: expected flat lists of numbers. Received: {line!r:.80}")
    if len(x) != len(y):
        raise InvalidInput(f"{place}: expected as many x as y in a stroke, got {len(x)} x and {len(y)} y")
    return _finite(place, [x, y]).T


def _finite(place: str, numbers: object) -> Array:
    try:
        array = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{place}: expected numbers. Received: {numbers!r:.80}") from None
    # What becomes infinite as float32 is refused too.
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise InvalidInput(f"{place}: expected finite numbers. Received: NaN or infinity")
    return array


def inputs_of(strokes: Strokes | None, drawing: Drawing | None) -> dict[str, Array]:
    """The sketch model's input, a batch of one."""
    if (strokes is None) == (drawing is None):
        came = "neither" if strokes is None else "both"
        raise InvalidInput(f"expected either strokes (offsets) or drawing (points), got {came}")
    rows = strokes_of_drawing(drawing) if drawing is not None else _rows(strokes)
    return {"strokes": rows[np.newaxis]}


def _rows(strokes: Strokes | None) -> Array:
    rows = _finite("strokes", strokes)
    if rows.ndim != 2 or rows.shape[1] != 3 or not rows.any():
        came = " of nothing but zeros" if rows.size and not rows.any() else ""
        raise InvalidInput(
            f"strokes: expected at least one row (dx, dy, lifted) of a drawing. "
            f"Received: shape {list(rows.shape)}{came}"
        )
    lifted = rows[:, 2]
    if not np.isin(lifted, (0, 1)).all():
        odd = lifted[~np.isin(lifted, (0, 1))][0]
        raise InvalidInput(
            f"strokes: expected lifted to be 1 (the pen leaves the paper after this point) or 0, got {odd:g}"
        )
    return rows.astype(np.float32)


def classification_of(result: InferResult) -> Classification:
    """The classes of a batch of one. Raises BadAnswer where the outputs are not a classifier's."""
    classes, scores = result["top_classes"], result["top_scores"]
    if classes.ndim != 2 or len(classes) != 1 or classes.shape != scores.shape:
        raise BadAnswer(
            f"expected top_classes and top_scores of [1, classes]. "
            f"Received: {list(classes.shape)} and {list(scores.shape)}"
        )
    return Classification(
        tuple(label.decode() if isinstance(label, bytes) else str(label) for label in classes[0]),
        tuple(float(score) for score in scores[0]),
        result.model,
        result.version,
        result["probabilities"][0],
    )
