"""TF Serving's gRPC services, driven by its own stubs alone."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from .zoo import AFFINE_VERSIONS, ECHOED
from .zoo_tf1 import CLASSIFY, REGRESS, example

pytestmark = pytest.mark.timeout(900)

X = np.array([[1, 1, 1], [0, 1, 0]], np.float32)
LIMIT_SECONDS = 60
MISSING = "Missing ModelSpec: expected a model_spec with a name; received: none"


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def address(request, model, signature="", *, version=None, label=None):
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def predict_request(model, inputs, signature="", **which):
    request = address(predict_pb2.PredictRequest(), model, signature, **which)
    for name, array in inputs.items():
        tensor = array if isinstance(array, TensorProto) else tf.make_tensor_proto(array)
        request.inputs[name].CopyFrom(tensor)
    return request


def examples(*listed, context=None):
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=listed))
    with_context = input_pb2.ExampleListWithContext(examples=listed, context=context)
    return input_pb2.Input(example_list_with_context=with_context)


def refused(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=LIMIT_SECONDS)
    return caught.value.code().name, caught.value.details()


# Predict


@pytest.mark.parametrize("version", [None, 0, max(AFFINE_VERSIONS)])
def test_predict_says_which_version_answered(prediction, version):
    answer = prediction.Predict(predict_request("affine", {"x": X}, version=version), timeout=LIMIT_SECONDS)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == [8, 4]
    assert answer.model_spec.name == "affine"
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


def test_named_signatures_and_an_output_filter(prediction):
    request = predict_request("several", {"a": X[:, :2], "b": X[:, :2]}, "arithmetic")
    assert set(prediction.Predict(request, timeout=LIMIT_SECONDS).outputs) == {"sum", "difference"}
    request.output_filter.append("difference")
    answer = prediction.Predict(request, timeout=LIMIT_SECONDS)
    assert list(answer.outputs) == ["difference"]
    assert answer.model_spec.signature_name == "arithmetic"


FIELDS = {
    "float16": "half_val",
    "bfloat16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "bool": "bool_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "string": "string_val",
}


@pytest.mark.parametrize("content", [False, True], ids=["typed", "content"])
@pytest.mark.parametrize("dtype", ECHOED)
def test_every_dtype_in_both_forms(prediction, dtype, content):
    values = [b"", b"\xff\x00", "ä".encode()] if dtype == "string" else [0, 1, 1 if dtype == "bool" else 3]
    tensor = tf.constant(values) if dtype == "string" else tf.cast(tf.constant(values), dtype)
    proto = tf.make_tensor_proto(tensor)
    if content and dtype == "string":
        proto = TensorProto(dtype=7, tensor_shape=proto.tensor_shape, tensor_content=b"\x00\x02\x02\xff\x00\xc3\xa4")
    elif not content and dtype != "string":
        proto = TensorProto(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
        array = tensor.numpy()
        halves = array.view(np.uint16) if array.dtype.itemsize == 2 and dtype in ("float16", "bfloat16") else array
        parts = halves.view(halves.real.dtype) if dtype.startswith("complex") else halves
        getattr(proto, FIELDS.get(dtype, "int_val")).extend(parts.tolist())
    (answer,) = prediction.Predict(predict_request("echo", {"x": proto}, dtype), timeout=LIMIT_SECONDS).outputs.values()
    assert not answer.tensor_content
    assert len(getattr(answer, FIELDS.get(dtype, "int_val"))) == (6 if dtype.startswith("complex") else 3)
    np.testing.assert_array_equal(tf.make_ndarray(answer), tensor.numpy())


@pytest.mark.parametrize("shape", [[], [0], [2, 0, 3], [1, 2, 1]])
def test_scalars_and_empty_tensors(prediction, shape):
    answer = prediction.Predict(predict_request("unranked", {"x": np.ones(shape, "f")}), timeout=LIMIT_SECONDS)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == np.full(shape, 2.0).tolist()


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (predict_request("nobody", {"x": X}), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (predict_request("affine", {"x": X}, version=9), "NOT_FOUND", "request: Specific(affine, 9)"),
        (predict_request("broken", {"x": X}), "NOT_FOUND", "Servable not found for request: Latest(broken)"),
        (predict_request("affine", {"x": X}, label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (predict_request("affine", {"x": X}, "s"), "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
        (predict_request("affine", {"y": X}), "INVALID_ARGUMENT", "input tensor alias not found in signature: y"),
        (predict_request("affine", {}), "INVALID_ARGUMENT", "input size does not match signature: 0!=1"),
        (predict_request("affine", {"x": X, "y": X}), "INVALID_ARGUMENT", "Sent extra: {y}."),
        (predict_request("affine", {"x": X.astype("i4")}), "INVALID_ARGUMENT", "float32"),
        (predict_request("affine", {"x": X[:, :2]}), "INVALID_ARGUMENT", "[?, 3]"),
        (predict_request("picky", {"x": np.array([-1], "f")}), "INVALID_ARGUMENT", "must not be negative"),
        (
            predict_request("affine", {"x": TensorProto(dtype=1, float_val=[1, 2])}),
            "INVALID_ARGUMENT",
            "tensor parsing error: ",
        ),
        (predict_request("affine", {"x": TensorProto(dtype=11)}), "INVALID_ARGUMENT", "DT_QINT8"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_predict_refuses_in_words_that_clients_know(prediction, request_, code, words):
    got, details = refused(prediction.Predict, request_)
    assert got == code
    assert words in details


def test_compressed_messages_and_those_over_four_megabytes(server):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options, compression=grpc.Compression.Gzip) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request("unranked", {"x": np.arange(3_000_000, dtype=np.float32)})
        answer = tf.make_ndarray(stub.Predict(request, timeout=LIMIT_SECONDS).outputs["y"])
    np.testing.assert_array_equal(answer, np.arange(1, 3_000_001, dtype=np.float32))


def test_bad_requests_hurt_no_other(prediction):
    bad = [
        predict_request("picky", {"x": np.array([-1], "f")}),
        predict_request("picky", {"x": np.array([[1]], "f")}),
        predict_request("picky", {"x": TensorProto(dtype=1, tensor_content=b"123")}),
    ]
    asked = []
    for index in range(150):
        asked.append(prediction.Predict.future(bad[index % 3], timeout=LIMIT_SECONDS))
        good = predict_request("picky", {"x": np.array([index * index], "f")})
        asked.append(prediction.Predict.future(good, timeout=LIMIT_SECONDS))
    for index in range(150):
        assert asked[2 * index].code() is grpc.StatusCode.INVALID_ARGUMENT
        assert asked[2 * index + 1].result().outputs["root"].float_val == [index]


def test_messages_quote_little_of_long_requests(prediction):
    request = predict_request("affine", {f"{index}{'x' * 1000}": X[0, 0] for index in range(500)})
    request.output_filter.append("z" * 10_000)
    assert len(refused(prediction.Predict, request)[1]) < 2000
    del request.output_filter[:]
    details = refused(prediction.Predict, request)[1]
    assert details.startswith("input size does not match signature: 500!=1 len({")
    assert len(details) <= 2000


def test_unknown_and_repeated_outputs_are_refused(prediction):
    request = predict_request("affine", {"x": X})
    request.output_filter.append("z")
    assert "output tensor alias not found in signature: z" in refused(prediction.Predict, request)[1]
    request.output_filter[:] = ["y", "y"]
    assert refused(prediction.Predict, request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: y")


# Examples


def classify(signature, message):
    request = address(classification_pb2.ClassificationRequest(), "half_plus_two", signature)
    request.input.CopyFrom(message)
    return request


def regress(signature, message):
    request = address(regression_pb2.RegressionRequest(), "half_plus_two", signature)
    request.input.CopyFrom(message)
    return request


def classes_of(result):
    return [[(each.label, each.score) for each in row.classes] for row in result.classifications]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("classify_x_to_y", [[("", 2.5)], [("", 3.0)]]),
        ("classify_words", [[("low", -2.5), ("high", 2.5)], [("low", -3.0), ("high", 3.0)]]),
        ("classify_classes_only", [[("low", 0.0), ("high", 0.0)]] * 2),
    ],
)
def test_classify(prediction, signature, expected):
    answer = prediction.Classify(classify(signature, examples(example(x=1), example(x=2))), timeout=LIMIT_SECONDS)
    assert classes_of(answer.result) == expected
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("half_plus_two", 123)
    assert answer.model_spec.signature_name == signature


@pytest.mark.parametrize(
    ("signature", "expected"),
    [("regress_x_to_y", [2.5, 2.0]), ("regress_x_to_y2", [3.5, 3.0]), ("regress_x2_to_y3", [4.0, 5.0])],
)
def test_regress(prediction, signature, expected):
    answer = prediction.Regress(regress(signature, examples(example(x=1), example(x2=2))), timeout=LIMIT_SECONDS)
    assert [each.value for each in answer.result.regressions] == expected
    assert answer.model_spec.version.value == 123


def test_a_context_is_part_of_every_example(prediction):
    message = examples(example(), example(x=2), context=example(x=10, x2=4))
    answer = prediction.Regress(regress("regress_x_to_y", message), timeout=LIMIT_SECONDS)
    assert [each.value for each in answer.result.regressions] == [7, 3]
    answer = prediction.Regress(regress("regress_x2_to_y3", message), timeout=LIMIT_SECONDS)
    assert [each.value for each in answer.result.regressions] == [6, 6]


def tasks(*asked, model="half_plus_two"):
    request = inference_pb2.MultiInferenceRequest(input=examples(example(x=1)))
    for signature, method in asked:
        address(request.tasks.add(method_name=method), model, signature)
    return request


def test_multi_inference(prediction):
    request = tasks(("regress_x_to_y2", REGRESS), ("classify_words", CLASSIFY))
    regression, classification = prediction.MultiInference(request, timeout=LIMIT_SECONDS).results
    assert regression.regression_result.regressions[0].value == 3.5
    assert classes_of(classification.classification_result) == [[("low", -2.5), ("high", 2.5)]]
    assert classification.model_spec.signature_name == "classify_words"
    assert classification.model_spec.version.value == 123


@pytest.mark.parametrize(
    ("method", "request_", "code", "words"),
    [
        ("Classify", classify("classify_words", examples()), "INVALID_ARGUMENT", "Input is empty."),
        ("Classify", classify("s", examples(example())), "INVALID_ARGUMENT", "No signature was found with the name: s"),
        (
            "Classify",
            classify("serving_default", examples(example())),
            "FAILED_PRECONDITION",
            "No classification inputs",
        ),
        ("Regress", regress("regress_x_to_y", input_pb2.Input()), "INVALID_ARGUMENT", "Input is empty."),
        ("Regress", regress("classify_words", examples(example())), "INVALID_ARGUMENT", "Expected one output Tensor."),
        ("MultiInference", inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "ModelSpec"),
        (
            "MultiInference",
            tasks(("regress_x_to_y", REGRESS), ("regress_x_to_y", REGRESS)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        ("MultiInference", tasks(("regress_x_to_y", "other")), "UNIMPLEMENTED", "Unsupported signature method_name"),
    ],
)
def test_examples_are_refused_in_words_that_clients_know(prediction, method, request_, code, words):
    got, details = refused(getattr(prediction, method), request_)
    assert got == code
    assert words in details


def test_an_example_that_does_not_fit_is_refused_and_hurts_nobody(prediction):
    wrong = example()
    wrong.features.feature["x"].int64_list.value.append(1)
    assert refused(prediction.Regress, regress("regress_x_to_y", examples(wrong)))[0] == "INVALID_ARGUMENT"
    answer = prediction.Regress(regress("regress_x_to_y", examples(example(x=1))), timeout=LIMIT_SECONDS)
    assert answer.result.regressions[0].value == 2.5


# Metadata and status


def test_metadata_shows_every_signature(prediction):
    request = address(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), "half_plus_two")
    answer = prediction.GetModelMetadata(request, timeout=LIMIT_SECONDS)
    assert answer.model_spec.version.value == 123
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    regression = signatures.signature_def["regress_x_to_y"]
    assert regression.method_name == REGRESS
    assert regression.inputs["inputs"].dtype == 7
    assert [dim.size for dim in regression.outputs["outputs"].tensor_shape.dim] == [-1, 1]
    assert regression.inputs["inputs"].name == "tf_example:0"


def test_a_signature_that_requests_cannot_carry_is_shown_and_refused(prediction):
    request = address(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), "sparse")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    prediction.GetModelMetadata(request, timeout=LIMIT_SECONDS).metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["sparse"].inputs["x"].HasField("coo_sparse")
    code, details = refused(prediction.Predict, predict_request("sparse", {"x": X}, "sparse"))
    assert code == "INVALID_ARGUMENT"
    assert "sparse tensor" in details


@pytest.mark.parametrize(
    ("fields", "model", "code", "words"),
    [
        ([], "affine", "INVALID_ARGUMENT", "must specify at least one metadata_field"),
        (["graph"], "affine", "INVALID_ARGUMENT", "is not supported"),
        (["signature_def"], "nobody", "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
    ],
)
def test_metadata_that_is_not_there(prediction, fields, model, code, words):
    request = address(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields), model)
    got, details = refused(prediction.GetModelMetadata, request)
    assert got == code
    assert words in details


def test_status_of_what_serves_and_of_what_failed(models):
    request = address(get_model_status_pb2.GetModelStatusRequest(), "affine", version=2)
    (status,) = models.GetModelStatus(request, timeout=LIMIT_SECONDS).model_version_status
    assert (status.version, status.state, status.status.error_code) == (2, status.AVAILABLE, 0)
    request = address(get_model_status_pb2.GetModelStatusRequest(), "broken")
    (status,) = models.GetModelStatus(request, timeout=LIMIT_SECONDS).model_version_status
    assert (status.version, status.state) == (1, status.END)
    assert status.status.error_code != 0
    assert "SavedModel" in status.status.error_message


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", MISSING),
        (
            address(get_model_status_pb2.GetModelStatusRequest(), "nobody"),
            "NOT_FOUND",
            "Could not find any versions of model nobody",
        ),
        (
            address(get_model_status_pb2.GetModelStatusRequest(), "affine", version=9),
            "NOT_FOUND",
            "Could not find version 9 of model affine",
        ),
    ],
)
def test_status_of_what_is_not_there(models, request_, code, words):
    assert refused(models.GetModelStatus, request_) == (code, words)
