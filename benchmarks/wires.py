"""A case as bytes on each wire, and what an answer's bytes say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.cases import Case
from loadtests import oip, tfserving

_DATATYPES = {"float32": "FP32", "int32": "INT32", "uint8": "UINT8"}
_JSON_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Wire:
    """One request in one protocol.

    path: of the method or the URL. body: the message as it is, without gRPC's prefix.
    read: the compared output of an answer, flat, from the answer's body and its headers in lower case.
    """

    protocol: str
    path: str
    body: bytes
    read: Callable[[bytes, Mapping[str, str]], np.ndarray]
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def predict(case: Case) -> Wire:
    """TF Serving's gRPC."""

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        response = tfserving.PredictResponse.FromString(answer)
        tensor = {entry.key: entry.value for entry in response.outputs}[case.compared]
        return np.array(np.frombuffer(tensor.tensor_content, np.float32) if tensor.tensor_content else tensor.float_val)

    return Wire("gRPC", tfserving.PREDICT, tfserving.request(case.model, case.inputs, case.outputs), read)


def infer(case: Case) -> Wire:
    """The Open Inference Protocol's gRPC with raw contents."""

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        response = service_pb2.ModelInferResponse.FromString(answer)
        at = [output.name for output in response.outputs].index(case.compared)
        return np.frombuffer(response.raw_output_contents[at], np.float32)

    return Wire("gRPC", oip.MODEL_INFER, oip.request(case.model, case.inputs, case.outputs), read)


def predict_json(case: Case) -> Wire:
    """TF Serving's REST in rows."""
    rows = [{name: array[row].tolist() for name, array in case.inputs.items()} for row in range(case.rows)]

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        return np.ravel([row[case.compared] for row in json.loads(answer)["predictions"]])

    return Wire("REST", f"/v1/models/{case.model}:predict", _json({"instances": rows}), read)


def infer_json(case: Case) -> Wire:
    """The Open Inference Protocol's REST, all in JSON."""
    tensors = [tensor | {"data": case.inputs[tensor["name"]].ravel().tolist()} for tensor in _described(case)]
    body = _json({"inputs": tensors, "outputs": [{"name": name} for name in case.outputs]})

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        return np.array(next(out["data"] for out in json.loads(answer)["outputs"] if out["name"] == case.compared))

    return Wire("REST", f"/v2/models/{case.model}/infer", body, read)


def infer_binary(case: Case) -> Wire:
    """The Open Inference Protocol's REST with its extension for binary data."""
    tensors = [
        tensor | {"parameters": {"binary_data_size": case.inputs[tensor["name"]].nbytes}} for tensor in _described(case)
    ]
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in case.outputs]
    head = _json({"inputs": tensors, "outputs": outputs})
    headers = {"content-type": "application/octet-stream", _JSON_LENGTH: str(len(head))}
    body = head + b"".join(array.tobytes() for array in case.inputs.values())

    def read(answer: bytes, headers: Mapping[str, str]) -> np.ndarray:
        end = int(headers[_JSON_LENGTH.lower()])
        for output in json.loads(answer[:end])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            if output["name"] == case.compared:
                return np.frombuffer(answer[end : end + size], np.float32)
            end += size
        raise ValueError(f"expected the output {case.compared!r}. Received: {answer[:200]!r}")

    return Wire("REST", f"/v2/models/{case.model}/infer", body, read, headers)


def _described(case: Case) -> list[dict[str, object]]:
    return [
        {"name": name, "datatype": _DATATYPES[array.dtype.name], "shape": list(array.shape)}
        for name, array in case.inputs.items()
    ]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
