"""The three models' inputs as arrays, from payloads."""

from collections.abc import Mapping
from datetime import date

import numpy as np

from loadtests import payloads

FORECASTER, SKETCH, VIDEO = "forecaster", "sketchrnn", "video"
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    FORECASTER: ("mean", "quantiles"),
    SKETCH: ("top_classes", "top_scores"),
    VIDEO: ("top_classes", "top_scores"),
}
"""The outputs that callers want, and that every answer must carry."""

Inputs = Mapping[str, np.ndarray]


def inputs(model: str, rng: np.random.Generator) -> Inputs:
    """One request's inputs for a model: a batch of one."""
    if model == FORECASTER:
        series = payloads.series(rng)
        day = -1 if series.last_date is None else (series.last_date - date(1970, 1, 1)).days
        return {"history": series.values[np.newaxis], "end_day": np.array([day], np.int32)}
    if model == SKETCH:
        return {"strokes": payloads.strokes(payloads.drawing(rng))[np.newaxis]}
    if model == VIDEO:
        return {"frames": payloads.frames(rng)[np.newaxis]}
    raise ValueError(f"expected one of {sorted(OUTPUTS)}. Received: {model!r}")
