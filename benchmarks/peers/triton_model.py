"""The forecaster for Triton's Python backend, which imports this as model.py."""

import os
import sys
from collections.abc import Sequence
from typing import Any

# The backend's interpreter is isolated: it knows neither PYTHONPATH nor a virtual environment.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np  # noqa: E402
import triton_python_backend_utils as backend  # noqa: E402

from benchmarks.peers.function import load_compiled  # noqa: E402

INPUTS, OUTPUTS = ("history", "end_day"), ("mean", "quantiles")


class TritonPythonModel:
    def initialize(self, _: dict[str, str]) -> None:
        self.function = load_compiled()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers what Triton has put together: one call for all."""
        rows = [backend.get_input_tensor_by_name(request, "end_day").shape()[0] for request in requests]
        inputs = {}
        for name in INPUTS:
            arrays = [backend.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            inputs[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        outputs = self.function(inputs)
        responses = []
        start = 0
        for count in rows:
            tensors = [backend.Tensor(name, outputs[name][start : start + count]) for name in OUTPUTS]
            responses.append(backend.InferenceResponse(tensors))
            start += count
        return responses
