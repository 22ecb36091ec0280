"""Measures whether a fit ever waits for its input."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import keras

from training.datasets.pipeline import Batched, dataset


class InputMeasuredError(Exception):
    """Raised in place of a fit that was only to be measured; its text is what was measured."""


@dataclass(frozen=True, kw_only=True)
class InputTimes:
    """Milliseconds a step, medians over rounds.

    fed: training on batches that the pipeline makes meanwhile; kept: on the same batches, made before and kept in
    memory; alone: making the batches while nothing trains.
    """

    steps: int
    fed: float
    kept: float
    alone: float

    def __str__(self) -> str:
        return (
            f"A step takes {self.fed:.1f} ms with the input pipeline and {self.kept:.1f} ms with the same "
            f"{self.steps} batches kept in memory ({self.fed / self.kept - 1:+.1%}); "
            f"making a batch takes {self.alone:.1f} ms while nothing trains."
        )


def measure(model: keras.Model, batches: Batched, *, steps: int, rounds: int = 3) -> InputTimes:
    """Train the compiled `model` for some steps on fresh and on kept batches, in turns, so that both see the same load.

    Raises:
        ValueError: the backend is not TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Expected KERAS_BACKEND=tensorflow to measure tf.data. Received: {keras.backend.backend()}")
    steps = min(steps, len(batches))
    fed = dataset(batches).take(steps)
    kept = fed.cache()
    _train(model, kept)  # fills the memory, and compiles what each shape of batch takes
    _train(model, fed)
    times: dict[str, list[float]] = {"fed": [], "kept": [], "alone": []}
    for _ in range(rounds):
        times["fed"].append(_train(model, fed))
        times["kept"].append(_train(model, kept))
        times["alone"].append(_go_through(fed))
    return InputTimes(steps=steps, **{name: 1e3 / steps * statistics.median(taken) for name, taken in times.items()})


def _train(model: keras.Model, batches: Any) -> float:
    began = time.perf_counter()
    model.fit(batches, epochs=1, shuffle=False, verbose=0)  # they come shuffled
    return time.perf_counter() - began


def _go_through(batches: Any) -> float:
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began
