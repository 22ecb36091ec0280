"""Predict, GetModelMetadata and GetModelStatus as TF Serving's own clients call them."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def predict_request(model: str, inputs: dict, signature: str = "", version: int | None = None, label: str = ""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


X = np.array([[1, 2], [3, 4]], np.float32)
MIXED = {
    "a": np.ones((2, 3), np.float32),
    "count": np.array([1, 2], np.int64),
    "word": np.array([b"hey", b"\xff"], dtype=object),
}


@pytest.fixture
def predict(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict


@pytest.fixture
def metadata(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata


@pytest.fixture
def status(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus


async def test_predict_answers_with_the_version_that_answered(predict):
    answer = await predict(predict_request("sum", {"x": X}))
    assert answer.model_spec.name == "sum"
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["sum"]), [3, 7])


@pytest.mark.parametrize(
    ("address", "version"),
    [({}, 2), ({"version": 1}, 1), ({"version": 2}, 2), ({"version": 0}, 2), ({"label": "stable"}, 1)],
)
async def test_predict_takes_a_version_or_a_label(predict, address, version):
    answer = await predict(predict_request("sum", {"x": X}, **address))
    assert answer.model_spec.version.value == version


async def test_predict_returns_every_output_or_those_wanted(predict):
    request = predict_request("mixed", MIXED)
    answer = await predict(request)
    assert set(answer.outputs) == {"total", "doubled", "shout", "echo_bytes"}
    assert answer.outputs["shout"].string_val == [b"hey!", b"\xff!"]
    request.output_filter.extend(["doubled", "total"])
    answer = await predict(request)
    assert set(answer.outputs) == {"total", "doubled"}
    assert answer.outputs["doubled"].int64_val == [2, 4]


async def test_every_dtype_goes_both_ways(predict, sample):
    dtype, array = sample
    answer = await predict(predict_request("echo", {"x": array}, signature=dtype))
    assert answer.model_spec.signature_name == dtype
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), array)


@pytest.mark.parametrize(
    ("request_", "code", "complaint"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (predict_request("nobody", {"x": X}), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (predict_request("sum", {"x": X}, version=3), "NOT_FOUND", "Specific(sum, 3)"),
        (predict_request("", {"x": X}), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (predict_request("sum", {"x": X}, label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (
            predict_request("sum", {"x": X}, signature="s"),
            "FAILED_PRECONDITION",
            'Serving signature key "s" not found.',
        ),
        (predict_request("sum", {"y": X}), "INVALID_ARGUMENT", "x"),
        (predict_request("sum", {}), "INVALID_ARGUMENT", "x"),
        (predict_request("sum", {"x": X, "y": X}), "INVALID_ARGUMENT", "y"),
        (predict_request("sum", {"x": X.astype("f8")}), "INVALID_ARGUMENT", "float64"),
        (predict_request("sum", {"x": X[0]}), "INVALID_ARGUMENT", "[2]"),
        (predict_request("sum", {"x": X[:0]}), "INVALID_ARGUMENT", "x"),
    ],
    ids=str,
)
async def test_bad_requests_say_what_was_expected(predict, request_, code, complaint):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await predict(request_)
    assert caught.value.code().name == code
    assert complaint in caught.value.details()
    assert (await predict(predict_request("sum", {"x": X}))).outputs["sum"].float_val == [3, 7]


async def test_an_unknown_output_is_refused(predict):
    request = predict_request("sum", {"x": X})
    request.output_filter.append("product")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await predict(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    expected = "output tensor alias not found in signature: product Outputs expected to be in the set {sum}."
    assert caught.value.details() == expected


async def test_an_output_asked_for_twice_is_refused(predict):
    request = predict_request("sum", {"x": X})
    request.output_filter.extend(["sum", "sum"])
    with pytest.raises(grpc.aio.AioRpcError, match="duplicate output tensor alias: sum"):
        await predict(request)


async def test_a_tensor_far_larger_than_its_message_is_refused(predict):
    request = predict_request("sum", {"x": np.ones((1, 1), np.float32)})
    request.inputs["x"].tensor_shape.dim[1].size = 10**12
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await predict(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "1048576 are allowed" in caught.value.details()


async def test_metadata_describes_the_signatures(metadata):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "mixed"
    answer = await metadata(request)
    assert answer.model_spec.name == "mixed"
    assert answer.model_spec.version.value == 2
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert {name: (info.dtype, [dim.size for dim in info.tensor_shape.dim])
            for name, info in signature.inputs.items()} == {
        "a": (1, [-1, 3]),
        "count": (9, [-1]),
        "word": (7, [-1]),
    }  # fmt: skip
    assert set(signature.outputs) == {"total", "doubled", "shout", "echo_bytes"}


async def test_metadata_of_unknown_rank(metadata):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "echo"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    (await metadata(request)).metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["bfloat16"].inputs["x"].tensor_shape.unknown_rank


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ([], "must specify at least one metadata_field"),
        (["graph"], "Metadata field graph is not supported"),
        (["signature_def", "graph"], "Metadata field graph is not supported"),
    ],
)
async def test_metadata_other_than_signatures_is_refused(metadata, fields, complaint):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "sum"
    with pytest.raises(grpc.aio.AioRpcError, match=complaint) as caught:
        await metadata(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("version", "expected"), [(None, [2, 1]), (1, [1]), (0, [2, 1])])
async def test_status_lists_versions(status, version, expected):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "sum"
    if version is not None:
        request.model_spec.version.value = version
    entries = (await status(request)).model_version_status
    assert [entry.version for entry in entries] == expected
    assert {entry.state for entry in entries} == {get_model_status_pb2.ModelVersionStatus.AVAILABLE}
    assert entries[0].status.error_code == 0


async def test_status_of_an_unknown_model_is_not_found(status):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "nobody"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status(request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
