"""Models with server-wide batching parameters, as TF Serving takes them."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

pytestmark = pytest.mark.timeout(900)

PARAMETERS = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 1000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
pad_variable_length_inputs: true
allowed_batch_sizes: 2
allowed_batch_sizes: 8
"""


@pytest.fixture(scope="module")
def stub(zoo, serve, tmp_path_factory):
    parameters = tmp_path_factory.mktemp("parameters") / "batching.pbtxt"
    parameters.write_text(PARAMETERS)
    with (
        serve(
            model_base_path=zoo / "summary",
            model_name="summary",
            enable_batching="true",
            batching_parameters_file=parameters,
        ) as server,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_a_number_for_the_whole_batch_is_that_of_the_request_alone(stub):
    calls = []
    for rows in (1, 3, 20, 0):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "summary"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.full((rows, 2), 1.0, "f")))
        calls.append((rows, stub.Predict.future(request, timeout=60)))
    for rows, call in calls:
        outputs = call.result().outputs
        assert tf.make_ndarray(outputs["total"]) == 2.0 * rows
        assert tf.make_ndarray(outputs["row_sums"]).tolist() == [2.0] * rows
