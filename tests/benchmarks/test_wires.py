import json

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from benchmarks import wires
from benchmarks.cases import make_case
from loadtests import tfserving

MODELS = ["forecaster", "sketchrnn", "video"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, 3])
def test_every_wire_carries_the_same_request(model, rows):
    case = make_case(model, rows)
    assert case.rows == rows
    found = [_predict(case), _predict_json(case), _infer(case), _infer_json(case), _infer_binary(case)]
    for arrays in found:
        assert arrays.keys() == case.inputs.keys()
        for name, array in case.inputs.items():
            np.testing.assert_array_equal(arrays[name], array.ravel())


def _predict(case):
    message = tfserving.PredictRequest.FromString(wires.predict(case).body)
    return {
        entry.key: np.frombuffer(entry.value.tensor_content, case.inputs[entry.key].dtype) for entry in message.inputs
    }


def _predict_json(case):
    rows = json.loads(wires.predict_json(case).body)["instances"]
    return {name: np.ravel(np.array([row[name] for row in rows], array.dtype)) for name, array in case.inputs.items()}


def _infer(case):
    message = service_pb2.ModelInferRequest.FromString(wires.infer(case).body)
    return {
        tensor.name: np.frombuffer(content, case.inputs[tensor.name].dtype)
        for tensor, content in zip(message.inputs, message.raw_input_contents, strict=True)
    }


def _infer_json(case):
    tensors = json.loads(wires.infer_json(case).body)["inputs"]
    return {tensor["name"]: np.array(tensor["data"], case.inputs[tensor["name"]].dtype) for tensor in tensors}


def _infer_binary(case):
    wire = wires.infer_binary(case)
    end = int(wire.headers["Inference-Header-Content-Length"])
    found = {}
    for tensor in json.loads(wire.body[:end])["inputs"]:
        size = tensor["parameters"]["binary_data_size"]
        found[tensor["name"]] = np.frombuffer(wire.body[end : end + size], case.inputs[tensor["name"]].dtype)
        end += size
    assert end == len(wire.body)
    return found


def test_answers_are_read_from_every_wire():
    case, mean = make_case("forecaster"), np.arange(7, dtype=np.float32)
    response = tfserving.PredictResponse()
    response.outputs.add(key="mean").value.float_val.extend(mean)
    infer = service_pb2.ModelInferResponse(raw_output_contents=[b"", mean.tobytes()])
    for name in ("quantiles", "mean"):
        infer.outputs.add(name=name)
    tensor = {"name": "mean", "datatype": "FP32", "shape": [1, 7]}
    other = {"name": "quantiles", "parameters": {"binary_data_size": 4}}
    head = json.dumps({"outputs": [other, tensor | {"parameters": {"binary_data_size": 28}}]}).encode()
    binary = head + b"\0" * 4 + mean.tobytes()
    plain = json.dumps({"outputs": [{"name": "quantiles", "data": [1]}, tensor | {"data": mean.tolist()}]}).encode()
    answers = [
        wires.predict(case).read(response.SerializeToString(), {}),
        wires.predict_json(case).read(json.dumps({"predictions": [{"mean": mean.tolist()}]}).encode(), {}),
        wires.infer(case).read(infer.SerializeToString(), {}),
        wires.infer_json(case).read(plain, {}),
        wires.infer_binary(case).read(binary, {"inference-header-content-length": str(len(head))}),
    ]
    for answer in answers:
        np.testing.assert_array_equal(answer, mean)
