"""One request for a model: its arrays, its bytes on each wire, and whether an answer is right."""

import json
import math
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
import numpy as np

from loadtests import payloads, tfserving
from loadtests.server import Addresses

TOLERANCE = 1e-3
CLASSES = ("top_classes", "top_scores")
OUTPUTS = {"forecaster": ("mean", "quantiles"), "sketchrnn": CLASSES, "video": CLASSES}
COMPARED = {"forecaster": "mean", "sketchrnn": "top_scores", "video": "top_scores"}


@dataclass(frozen=True, slots=True)
class Case:
    """A batch of one for a model."""

    model: str
    inputs: Mapping[str, np.ndarray]

    @property
    def grpc_body(self) -> bytes:
        """The Predict request as one uncompressed gRPC message."""
        message = tfserving.request(self.model, self.inputs, OUTPUTS[self.model])
        return b"\0" + len(message).to_bytes(4) + message

    @property
    def rest_body(self) -> bytes:
        row = {name: array[0].tolist() for name, array in self.inputs.items()}
        return json.dumps({"instances": [row]}, separators=(",", ":")).encode()

    @property
    def rest_path(self) -> str:
        return f"/v1/models/{self.model}:predict"

    def check(self, addresses: Addresses, expected: np.ndarray) -> None:
        """Ask once over each protocol; raises ValueError where an answer is not `expected`, the model's own."""
        for protocol, answer in (("gRPC", self._grpc(addresses)), ("REST", self._rest(addresses))):
            if answer.shape != expected.shape or not np.allclose(answer, expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise ValueError(f"expected {self.model} over {protocol} to answer {expected}. Received: {answer}")

    def predict(self, addresses: Addresses) -> bytes:
        """Ask once over gRPC; gives the PredictResponse as it came."""
        with grpc.insecure_channel(addresses.grpc_target) as channel:
            answer: bytes = channel.unary_unary(tfserving.PREDICT)(self.grpc_body[5:], timeout=30)
        return answer

    def _grpc(self, addresses: Addresses) -> np.ndarray:
        response = tfserving.PredictResponse.FromString(self.predict(addresses))
        tensors = {entry.key: entry.value for entry in response.outputs}
        tensor = tensors[COMPARED[self.model]]
        return np.array(np.frombuffer(tensor.tensor_content, np.float32) if tensor.tensor_content else tensor.float_val)

    def _rest(self, addresses: Addresses) -> np.ndarray:
        request = urllib.request.Request(addresses.rest_url + self.rest_path, self.rest_body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return np.array(json.load(answer)["predictions"][0][COMPARED[self.model]])


def make_case(model: str) -> Case:
    """A series of 105 days whose end is known, a drawing of 48 points, or a panning clip; the same each time."""
    rng = np.random.default_rng(0)
    if model == "forecaster":
        days = np.arange(105)
        history = 300 + 40 * np.sin(2 * math.pi * days / 7) + days / 10 + rng.normal(0, 5, days.size)
        return Case(model, {"history": history[np.newaxis].astype(np.float32), "end_day": np.array([18_047], np.int32)})
    if model == "video":
        return Case(model, {"frames": payloads.frames(rng)[np.newaxis]})
    strokes = np.zeros((1, 48, 3), np.float32)
    strokes[..., :2] = rng.normal(0, 20, (1, 48, 2)).round()
    strokes[:, 11::12, 2] = 1
    return Case(model, {"strokes": strokes})
