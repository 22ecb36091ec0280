"""Messages are those of the protocols' own stubs."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from loadtests import oip, tfserving
from loadtests.tensors import OUTPUTS, inputs


@pytest.fixture(params=OUTPUTS)
def model(request):
    return request.param


@pytest.fixture
def arrays(model):
    return inputs(model, np.random.default_rng(5))


def test_predict_requests_read_as_tf_servings_own(model, arrays):
    from tensorflow import make_ndarray
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    read = PredictRequest.FromString(tfserving.request(model, arrays, OUTPUTS[model]))
    assert (read.model_spec.name, read.model_spec.signature_name) == (model, "serving_default")
    assert list(read.output_filter) == list(OUTPUTS[model])
    assert set(read.inputs) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(make_ndarray(read.inputs[name]), array)
        assert make_ndarray(read.inputs[name]).dtype == array.dtype


def test_predict_responses_of_tf_serving_are_understood():
    from tensorflow import make_tensor_proto
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    response = PredictResponse()
    response.outputs["top_scores"].CopyFrom(make_tensor_proto(np.ones((1, 5), np.float32)))
    response.outputs["top_classes"].CopyFrom(make_tensor_proto(np.array([[b"cat"]], dtype=object)))
    payload = response.SerializeToString()
    assert tfserving.missing(payload, ("top_classes", "top_scores")) is None
    assert "expected the output 'mean'" in tfserving.missing(payload, ("mean",))
    response.outputs["mean"].dtype = 1
    assert "expected values in the output 'mean'" in tfserving.missing(response.SerializeToString(), ("mean",))


def test_infer_requests_carry_raw_contents(model, arrays):
    read = service_pb2.ModelInferRequest.FromString(oip.request(model, arrays, OUTPUTS[model]))
    assert read.model_name == model
    assert [output.name for output in read.outputs] == list(OUTPUTS[model])
    sent = dict(zip((tensor.name for tensor in read.inputs), read.raw_input_contents, strict=True))
    assert {name: len(raw) for name, raw in sent.items()} == {name: array.nbytes for name, array in arrays.items()}


def test_infer_responses_must_carry_what_was_asked_for():
    response = service_pb2.ModelInferResponse(raw_output_contents=[b"1234"])
    response.outputs.add(name="mean")
    assert oip.missing(response.SerializeToString(), ["mean"]) is None
    assert "Received: ['mean']" in oip.missing(response.SerializeToString(), ["mean", "quantiles"])
    response.raw_output_contents[0] = b""
    assert "raw contents" in oip.missing(response.SerializeToString(), ["mean"])
