"""POST /classify_sketch: what a drawing shows."""

import time
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from serving.api.classes import OUTPUTS, ClassAnswer, class_answer
from serving.api.reading import StopAtFirst
from serving.engine import Engine, InferRequest

MODEL = "sketchrnn"
MAX_COORDINATE = 1e6

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Numbers = Annotated[list[Number], StopAtFirst()]


def _row(row: list[float]) -> list[float]:
    if len(row) != 3:
        raise PydanticCustomError("row", "expected three numbers (dx, dy, lifted), got {count}", {"count": len(row)})
    if row[2] not in (0, 1):
        raise PydanticCustomError(
            "lifted",
            "expected lifted to be 1 (the pen leaves the paper after this point) or 0, got {it}",
            {"it": row[2]},
        )
    _within(row[:2])
    return row


def _moves(rows: list[list[float]] | None) -> list[list[float]] | None:
    if rows is not None and not any(any(row) for row in rows):
        came = f"{len(rows):,} of nothing but zeros" if rows else "none"
        raise PydanticCustomError("no_points", f"expected at least one row (dx, dy, lifted) of a drawing, got {came}")
    return rows


def _stroke(stroke: list[list[float]]) -> list[list[float]]:
    if len(stroke) not in (2, 3):
        raise PydanticCustomError(
            "stroke",
            "expected a list of x, a list of y, and perhaps one of times, got {count} lists",
            {"count": len(stroke)},
        )
    x, y = stroke[:2]
    if len(x) != len(y):
        raise PydanticCustomError("stroke", f"expected as many x as y in a stroke, got {len(x):,} x and {len(y):,} y")
    _within(x)
    _within(y)
    return stroke


def _inked(drawing: list[list[list[float]]] | None) -> list[list[list[float]]] | None:
    if drawing is not None and not any(stroke[0] for stroke in drawing):
        raise PydanticCustomError(
            "no_points",
            "expected at least one point in a drawing, got {count} strokes without any",
            {"count": len(drawing)},
        )
    return drawing


def _within(values: list[float]) -> None:
    for value in values:
        if abs(value) > MAX_COORDINATE:
            raise PydanticCustomError(
                "coordinate",
                f"expected coordinates from {-MAX_COORDINATE:,.0f} to {MAX_COORDINATE:,.0f}, got {value:g}",
            )


_NUMBERS = {"type": "array", "items": {"type": "number"}}
Row = Annotated[Numbers, AfterValidator(_row), WithJsonSchema({**_NUMBERS, "minItems": 3, "maxItems": 3})]
Stroke = Annotated[
    list[Numbers],
    StopAtFirst(),
    AfterValidator(_stroke),
    WithJsonSchema({"type": "array", "items": _NUMBERS, "minItems": 2, "maxItems": 3}),
]

_HOUSE: Any = [[[20, 20, 110, 110, 20], [120, 60, 60, 120, 120]], [[10, 65, 120], [65, 10, 65]]]


class SketchRequest(BaseModel):
    """A drawing, as offsets (`strokes`, like sketch-rnn) or as points (`drawing`, like Quick, Draw!)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"drawing": _HOUSE}})

    strokes: Annotated[list[Row] | None, StopAtFirst()] = Field(
        default=None,
        description="Rows [dx, dy, lifted]: the way from the point before, and 1 where the pen is lifted "
        "after it. The scale does not matter.",
    )
    drawing: Annotated[list[Stroke] | None, StopAtFirst()] = Field(
        default=None,
        description="Strokes [[x, ...], [y, ...]], y growing downwards; a third list, of times, is ignored. "
        "The scale and the position do not matter.",
    )

    _moving = field_validator("strokes")(_moves)
    _inky = field_validator("drawing")(_inked)

    @model_validator(mode="after")
    def _one_form(self) -> "SketchRequest":
        if (self.strokes is None) == (self.drawing is None):
            came = "neither" if self.strokes is None else "both"
            raise PydanticCustomError("one_form", f"expected either strokes (offsets) or drawing (points), got {came}")
        return self


async def classify_sketch(engine: Engine, request: SketchRequest, *, timeout: float) -> ClassAnswer:
    """Name the five classes that a drawing shows most probably.

    timeout: seconds that the answer may take.
    Raises ServingError.
    """
    if request.drawing is not None:
        strokes = drawing_to_strokes(request.drawing)
    else:
        strokes = np.array(request.strokes, np.float32)
    result = await engine.infer(
        InferRequest(MODEL, {"strokes": strokes[np.newaxis]}, outputs=OUTPUTS, deadline=time.monotonic() + timeout)
    )
    return class_answer(result)


def drawing_to_strokes(drawing: list[list[list[float]]]) -> NDArray[np.float32]:
    """Turn strokes of absolute points into sketch-rnn's offsets, float32 [points, 3] of dx, dy, lifted.

    Each row is the way from the point before it (the first is its own origin: 0, 0), and lifted is 1 on the
    last point of each stroke. Ha and Eck, A Neural Representation of Sketch Drawings, 2017, section 3.1.
    """
    inked = [stroke for stroke in drawing if stroke[0]]
    points = np.concatenate([np.array(stroke[:2], np.float64).T for stroke in inked])
    strokes = np.zeros((len(points), 3), np.float32)
    strokes[1:, :2] = np.diff(points, axis=0)
    strokes[np.cumsum([len(stroke[0]) for stroke in inked]) - 1, 2] = 1
    return strokes
