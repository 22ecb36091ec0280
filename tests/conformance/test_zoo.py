"""Every model of the zoo answers, over TF Serving's own stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from .zoo_tf1 import example

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def predict(server):
    """A function of model, arrays by input name and signature; it returns arrays by output name."""
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def call(model, inputs, signature=""):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            answer = stub.Predict(request, timeout=60)
            return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

        yield call


TWO = np.array([[1, 1, 1], [0, 1, 0]], "f")


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "outputs"),
    [
        ("affine", "", {"x": TWO}, {"y": [8, 4]}),
        ("several", "", {"x": np.array([1.5], "f")}, {"y": [3]}),
        (
            "several",
            "arithmetic",
            {"a": np.array([[3, 1]], "f"), "b": np.array([[1, 1]], "f")},
            {"sum": [[4, 2]], "difference": [[2, 0]]},
        ),
        ("several", "square", {"n": np.array([3, -2])}, {"n_squared": [9, 4]}),
        (
            "text",
            "",
            {"text": np.array([b"ab", b""], object)},
            {"upper": [b"AB", b""], "length": [2, 0], "echo_bytes": [b"ab", b""]},
        ),
        ("static_table", "", {"word": np.array([b"two", b"many"], object)}, {"index": [2, -1]}),
        ("scalar", "", {"x": np.array(1.0, "f")}, {"y": 2.0}),
        ("vector", "", {"x": np.array([2, 3, 6], "f")}, {"norm": 7.0, "x": [2, 3, 6]}),
        ("unranked", "", {"x": np.array(1.0, "f")}, {"y": 2.0, "rank": 0}),
        ("unranked", "", {"x": TWO}, {"y": TWO + 1, "rank": 2}),
        ("summary", "", {"x": np.array([[1, 2], [3, 4]], "f")}, {"row_sums": [3, 7], "total": 10.0}),
        ("ragged", "", {"values": np.array([1, 2, 3], "f"), "row_splits": np.array([0, 1, 3])}, {"sums": [1, 5]}),
        ("ragged", "", {"values": np.zeros(0, "f"), "row_splits": np.array([0, 0])}, {"sums": [0]}),
        ("ragged", "composite", {"rows": np.array([1, 2, 3], "f"), "rows_1": np.array([0, 1, 3])}, {"sums": [1, 5]}),
        ("keras", "", {"left": np.array([[1, 2]], "f"), "right": np.array([[3]], "f")}, {"total": [[6]]}),
        ("half_plus_two", "", {"x": np.array([[1], [2]], "f")}, {"y": [[2.5], [3]]}),
        (
            "half_plus_two",
            "predict_examples",
            {"examples": np.array([example(x=1.0).SerializeToString()], object)},
            {"y": [[2.5]], "y2": [[3.5]]},
        ),
        ("legacy", "", {"index": np.array([0, 2, 5])}, {"colour": [b"red", b"blue", b"?"]}),
        (
            "sparse",
            "",
            {"indices": np.array([[0, 1]]), "values": np.array([5], "f"), "dense_shape": np.array([1, 2])},
            {"dense": [[0, 5]]},
        ),
        ("affine", "", {"x": np.zeros((0, 3), "f")}, {"y": np.zeros(0)}),
    ],
)
def test_every_kind_of_model_answers(predict, model, signature, inputs, outputs):
    answer = predict(model, inputs, signature)
    assert answer.keys() == outputs.keys()
    for name, want in outputs.items():
        np.testing.assert_array_equal(answer[name], want)


def test_state_lives_as_long_as_the_version(predict):
    assert predict("mutable_table", {"key": np.array([b"a"], object)})["value"].tolist() == [-1]
    told = {"key": np.array([b"a", b"b"], object), "value": np.array([7, 8])}
    assert predict("mutable_table", told, "insert") == {"size": 2}
    assert predict("mutable_table", {"key": np.array([b"b", b"a"], object)})["value"].tolist() == [8, 7]
    before = predict("counter", {"x": np.array([0], "f")})["total"][0]
    assert predict("counter", {"x": np.array([1, 2], "f")})["total"].tolist() == [before + 3] * 2


def test_a_signature_with_a_tensor_that_no_protocol_carries_is_refused_by_name(predict):
    with pytest.raises(grpc.RpcError) as caught:
        predict("sparse", {"x": np.array([1], "f")}, "sparse")
    assert "sparse" in caught.value.details()


def test_a_model_that_cannot_load_says_so(predict):
    with pytest.raises(grpc.RpcError) as caught:
        predict("broken", {})
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "failed to load" in caught.value.details()
