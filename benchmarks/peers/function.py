"""The function that every peer serves: a SavedModel, compiled by XLA for the same batch sizes as ours."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serving.savedmodel import load
from serving.servables.inputs import read_rules

SIZES = (1, 4, 16, 64)
VERSION = "BENCHMARK_VERSION"
"""The environment variable that names the directory of the version to serve."""
WORKERS = "BENCHMARK_WORKERS"
"""And the one that says in how many processes."""
Arrays = Mapping[str, np.ndarray]


class Function:
    """Answers batches of any size up to the largest: pads in length and rows, runs, cuts."""

    def __init__(self) -> None:
        version = Path(os.environ[VERSION])
        self._rules = {name: rule for name, rule in read_rules(version).items() if rule.axis is not None}
        self._model = load(version, threads=1)
        self._program = self._model.programs["serving_default"]

    def compile(self, sample: Arrays) -> None:
        """For all sizes, with the first row of `sample`."""
        padded = self._padded({name: array[:1] for name, array in sample.items()}, 1)
        for size in SIZES:
            self._program.compile({name: np.repeat(array, size, axis=0) for name, array in padded.items()})

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        rows = len(next(iter(inputs.values())))
        size = next(size for size in SIZES if size >= rows)
        outputs = self._program(self._padded(inputs, size))
        return {name: array[:rows] for name, array in outputs.items()}

    def _padded(self, inputs: Arrays, size: int) -> dict[str, np.ndarray]:
        padded = {}
        for name, array in inputs.items():
            if (rule := self._rules.get(name)) is not None:
                array = rule.padded(array, rule.bucket(array.shape[rule.axis or 0]))
            missing = size - len(array)
            padded[name] = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
        return padded


def load_compiled() -> Function:
    """The forecaster, ready for every batch size."""
    from benchmarks.cases import make_case

    function = Function()
    function.compile(make_case("forecaster").inputs)
    return function
