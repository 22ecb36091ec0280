"""What a model is asked in the benchmarks; the same each time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadtests import payloads

CLASSES = ("top_classes", "top_scores")
OUTPUTS = {"forecaster": ("mean", "quantiles"), "sketchrnn": CLASSES, "video": CLASSES}
COMPARED = {"forecaster": "mean", "sketchrnn": "top_scores", "video": "top_scores"}
"""The output by which answers are judged."""
DAYS = 56


@dataclass(frozen=True, slots=True)
class Case:
    """One request's inputs for a model, each with the batch on axis 0."""

    model: str
    inputs: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that are asked for."""
        return OUTPUTS[self.model]

    @property
    def compared(self) -> str:
        return COMPARED[self.model]


def make_case(model: str, rows: int = 1) -> Case:
    """Series of 56 days whose end is known, drawings of 48 points, or panning clips."""
    rng = np.random.default_rng(0)
    if model == "forecaster":
        days = np.arange(DAYS)
        history = 300 + 40 * np.sin(2 * math.pi * days / 7) + days / 10 + rng.normal(0, 5, (rows, DAYS))
        return Case(model, {"history": history.astype(np.float32), "end_day": np.full(rows, 18_047, np.int32)})
    if model == "video":
        return Case(model, {"frames": np.stack([payloads.frames(rng) for _ in range(rows)])})
    strokes = np.zeros((rows, 48, 3), np.float32)
    strokes[..., :2] = rng.normal(0, 20, (rows, 48, 2)).round()
    strokes[:, 11::12, 2] = 1
    return Case(model, {"strokes": strokes})
