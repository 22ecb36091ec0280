"""Classify, Regress and MultiInference as TF Serving's own clients call them."""

import grpc
import pytest
from tensorflow.core.example.example_pb2 import Example
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def example(x: float | None = None, n: int | None = None) -> Example:
    made = Example()
    if x is not None:
        made.features.feature["x"].float_list.value.append(x)
    if n is not None:
        made.features.feature["n"].int64_list.value.append(n)
    return made


def listed(*examples: Example) -> input_pb2.Input:
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))


def classify(message: input_pb2.Input | None = None, signature: str = "", model: str = "examples"):
    request = classification_pb2.ClassificationRequest(input=message)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    return request


def regress(message: input_pb2.Input | None = None, signature: str = "value", model: str = "examples"):
    request = regression_pb2.RegressionRequest(input=message)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    return request


def several(*tasks: tuple[str, str, str], message: input_pb2.Input | None = None):
    request = inference_pb2.MultiInferenceRequest(input=message or listed(example(x=2)))
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details()


async def test_classify_gives_labels_and_scores(stub):
    answer = await stub.Classify(classify(listed(example(x=2), example(n=1))))
    rows = [[(each.label, each.score) for each in row.classes] for row in answer.result.classifications]
    assert rows == [[("sum", 2), ("ÿ", -2)], [("sum", 10), ("ÿ", -10)]]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("examples", 2, "serving_default")


@pytest.mark.parametrize(("signature", "expected"), [("labels", ("sum", 0)), ("scores", ("", 2))])
async def test_classify_without_labels_or_scores(stub, signature, expected):
    answer = await stub.Classify(classify(listed(example(x=2)), signature))
    first = answer.result.classifications[0].classes[0]
    assert (first.label, first.score) == expected


async def test_regress_gives_values(stub):
    request = regress(listed(example(x=2), example(x=0.5, n=1)))
    request.model_spec.version_label = "stable"
    answer = await stub.Regress(request)
    assert [each.value for each in answer.result.regressions] == [2, 10.5]
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (1, "value")


async def test_a_context_belongs_to_every_example(stub):
    message = input_pb2.Input()
    message.example_list_with_context.context.CopyFrom(example(x=1, n=5))
    message.example_list_with_context.examples.extend([example(), example(x=2)])
    answer = await stub.Regress(regress(message))
    assert [each.value for each in answer.result.regressions] == [51, 52]


async def test_multi_inference_asks_several_signatures(stub):
    answer = await stub.MultiInference(several(("examples", "value", REGRESS), ("examples", "", CLASSIFY)))
    regression, classification = answer.results
    assert regression.regression_result.regressions[0].value == 2
    assert classification.classification_result.classifications[0].classes[0].score == 2
    assert [result.model_spec.signature_name for result in answer.results] == ["value", "serving_default"]
    assert {result.model_spec.version.value for result in answer.results} == {2}


@pytest.mark.parametrize(
    ("request_", "code", "complaint"),
    [
        (classification_pb2.ClassificationRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (classify(), "INVALID_ARGUMENT", "Input is empty."),
        (classify(listed()), "INVALID_ARGUMENT", "Input is empty."),
        (classify(listed(example()), model="nobody"), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (classify(listed(example()), "s"), "INVALID_ARGUMENT", "No signature was found with the name: s"),
        (classify(listed(example()), "two_inputs"), "INVALID_ARGUMENT", "Expected one input Tensor."),
        (classify(listed(example()), "other_names"), "FAILED_PRECONDITION", "No classification inputs found"),
        (classify(listed(example()), "other_outputs"), "FAILED_PRECONDITION", "Expected classification signature"),
        (regression_pb2.RegressionRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (regress(listed()), "INVALID_ARGUMENT", "Input is empty."),
        (regress(listed(example()), ""), "INVALID_ARGUMENT", "Expected one output Tensor."),
        (regress(listed(example()), "other_names"), "FAILED_PRECONDITION", "No regression inputs found"),
        (regress(listed(example()), "other_outputs"), "FAILED_PRECONDITION", "No regression outputs found"),
        (several(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (several(("", "", CLASSIFY)), "INVALID_ARGUMENT", "Found ModelSpec with an empty model name."),
        (
            several(("examples", "", CLASSIFY), ("examples", "s", REGRESS)),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: s",
        ),
        (several(("examples", "", CLASSIFY), ("sum", "", REGRESS)), "INVALID_ARGUMENT", "must access the same model"),
        (
            several(("examples", "", CLASSIFY), ("examples", "serving_default", REGRESS)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            several(("examples", "", "tensorflow/serving/predict")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (several(("examples", "s", CLASSIFY)), "INVALID_ARGUMENT", "signature"),
        (several(("nobody", "", CLASSIFY)), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (several(("examples", "", CLASSIFY), message=listed()), "INVALID_ARGUMENT", "Input is empty."),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_bad_requests_say_what_was_expected(engine, stub, request_, code, complaint):
    method = {"C": stub.Classify, "R": stub.Regress, "M": stub.MultiInference}[type(request_).__name__[0]]
    got, details = await refused(method(request_))
    assert got == code
    assert complaint in details
    assert [counted for _, counted in engine.refused] == [code]
