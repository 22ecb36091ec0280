"""Answers that are written byte by byte are the messages that protobuf would write."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tritonclient.grpc import service_pb2

from serving.engine import InferResult
from serving.errors import InvalidInput
from serving.grpc.infer_answers import InferAnswers
from serving.grpc.predict_answers import PredictAnswers

RNG = np.random.default_rng(0)
OUTPUTS = {
    "floats": {"mean": RNG.normal(size=(3, 7)).astype(np.float32), "quantiles": RNG.normal(size=(3, 7, 9))},
    "long": {"x": RNG.normal(size=(1, 70_000)).astype(np.float32)},
    "a slice": {"x": RNG.normal(size=(8, 4)).astype(np.float32)[2:5], "y": np.ones((4, 6), np.float32)[:, ::2]},
    "scalar": {"x": np.float32(3)[()] * np.ones((), np.float32)},
    "empty": {"x": np.zeros((0, 3), np.float32)},
    "mixed": {
        "x": np.ones((2, 2), np.float32),
        "n": np.arange(4).reshape(2, 2),
        "word": np.array([b"a", b"bc"], object),
    },
    "halves": {"x": np.ones(3, np.float16), "y": np.ones(3, ml_dtypes.bfloat16), "z": np.array([True, False])},
}


def result(name: str, version: int = 3) -> InferResult:
    return InferResult("modél", version, "serving_default", OUTPUTS[name])


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("tensor_content", [False, True])
def test_predict(name, tensor_content):
    answers = PredictAnswers(tensor_content=tensor_content)
    for version in (3, 3, 4):  # made, known again, and of another version
        response = predict_pb2.PredictResponse.FromString(answers.write(result(name, version)))
        assert response.model_spec.name == "modél"
        assert response.model_spec.version.value == version
        assert response.model_spec.signature_name == "serving_default"
        assert response.outputs.keys() == OUTPUTS[name].keys()
        for key, array in OUTPUTS[name].items():
            tensor = response.outputs[key]
            np.testing.assert_array_equal(tf.make_ndarray(tensor), array)
            assert bool(tensor.tensor_content) == (tensor_content and array.size > 0 and array.dtype != object)


def test_shapes_of_one_size_are_told_apart():
    answers = PredictAnswers()
    for shape in ((2, 3), (3, 2), (6,), (2, 3)):
        array = np.arange(6, dtype=np.float32).reshape(shape)
        response = predict_pb2.PredictResponse.FromString(answers.write(InferResult("m", 1, "s", {"x": array})))
        np.testing.assert_array_equal(tf.make_ndarray(response.outputs["x"]), array)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("request_id", ["", "seven-é"])
def test_infer(name, request_id):
    answers = InferAnswers()
    for version in (3, 3, 4):
        response = service_pb2.ModelInferResponse.FromString(answers.write(result(name, version), request_id))
        assert (response.model_name, response.model_version, response.id) == ("modél", str(version), request_id)
        assert [output.name for output in response.outputs] == list(OUTPUTS[name])
        for output, raw, array in zip(
            response.outputs, response.raw_output_contents, OUTPUTS[name].values(), strict=True
        ):
            assert tuple(output.shape) == array.shape
            if array.dtype != object:
                assert raw == np.ascontiguousarray(array).tobytes()


def test_what_the_protocol_cannot_carry_is_named():
    with pytest.raises(InvalidInput, match="output 'z' is complex64"):
        InferAnswers().write(InferResult("m", 1, "s", {"z": np.ones(2, np.complex64)}), "")
