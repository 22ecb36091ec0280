"""What every method shares: parsing, errors, deadlines, cancellation, limits, health, reflection, drain."""

import asyncio
import logging
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving import errors
from serving.grpc.calls import calls_of
from serving.grpc.core import CoreListener
from serving.grpc.http2 import Limits, Listener
from serving.grpc.server import Server

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SERVICES = [
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "inference.GRPCInferenceService",
]


def request(rows: int = 1, length: int = 3) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "sum"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((rows, length), np.float32)))
    return message


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


async def status_of(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("m"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NotFound("m"), grpc.StatusCode.NOT_FOUND),
        (errors.FailedPrecondition("m"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Overloaded("m"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DeadlineExceeded("m"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.Unavailable("m"), grpc.StatusCode.UNAVAILABLE),
        (errors.Internal("m"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_each_error_has_its_status(engine, stub, error, code):
    engine.failure = error
    assert await status_of(stub.Predict(request())) == (code, "m")
    engine.failure = None
    assert (await stub.Predict(request())).outputs["sum"].float_val == [3]


async def test_an_unexpected_exception_is_logged_and_not_told(engine, stub, caplog):
    engine.failure = KeyError("/secret/path")
    with caplog.at_level(logging.ERROR):
        assert await status_of(stub.Predict(request())) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "/secret/path" in caplog.text
    assert "Predict failed" in caplog.text


async def test_a_long_message_does_not_break_the_answer(engine, stub):
    engine.failure = errors.InvalidInput("ä" * 100_000)
    code, details = await status_of(stub.Predict(request()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "ä" * 1000


@pytest.mark.parametrize("method", [PREDICT, "/inference.GRPCInferenceService/ModelInfer"])
async def test_bytes_that_are_no_message_are_refused(channel, stub, method):
    code, details = await status_of(channel.unary_unary(method)(b"\xff\xff\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "got 3 bytes that do not parse" in details
    assert (await stub.Predict(request())).outputs["sum"].float_val == [3]


async def test_a_string_that_is_not_utf8_is_refused(channel):
    code, _ = await status_of(channel.unary_unary(PREDICT)(b"\x0a\x03\x0a\x01\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_is_refused_and_the_connection_lives(stub):
    code, _ = await status_of(stub.Predict(request(length=2**20)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await stub.Predict(request(length=2**17))).outputs["sum"].float_val == [2**17]


async def test_an_answer_may_be_larger_than_the_request_limit(engine):
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"], max_message_bytes=64)
    port = await server.start()
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        engine.outputs = {"large": np.zeros(2_000_000, np.float32)}
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = await stub.Predict(request(length=1))
        assert len(answer.outputs["large"].float_val) == 2_000_000
    await server.drain(0)


async def test_the_callers_deadline_reaches_the_engine(engine, stub, soon):
    await stub.Predict(request(), timeout=20)
    await stub.Predict(request())
    assert soon(engine.requests[0].deadline, 20)
    assert engine.requests[1].deadline is None


async def test_a_cancelled_call_cancels_its_work(engine, stub):
    engine.delay = 60
    call = asyncio.ensure_future(stub.Predict(request()))
    await engine.begun()
    call.cancel()
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_an_expired_deadline_cancels_the_work(engine, stub):
    engine.delay = 60
    code, _ = await status_of(stub.Predict(request(), timeout=0.2))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(engine.cancelled.wait(), 5)


@pytest.mark.parametrize("kind", ["own", "core"])
async def test_methods_not_offered_say_so(kind):
    calls = calls_of("inference.GRPCInferenceService", {})
    server = (
        Listener(calls, Limits(2**20, 100), lambda: socket.create_server(("127.0.0.1", 0)))
        if kind == "own"
        else CoreListener(calls, "127.0.0.1:0", tls=None, most_calls=100, options=())
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in ("ModelInfer", "ModelStreamInfer"):
            code, details = await status_of(channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b""))
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert f"{method} is not implemented by this server; of" in details
        code, _ = await status_of(channel.unary_unary("/inference.GRPCInferenceService/Nothing")(b""))
        assert code is grpc.StatusCode.UNIMPLEMENTED
    await server.drain(0)


async def test_health_follows_readiness(engine, channel):
    health = health_pb2_grpc.HealthStub(channel)
    for ready, status in ((True, "SERVING"), (False, "NOT_SERVING")):
        engine.is_ready = ready
        for service in ("", *SERVICES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status
    code, details = await status_of(health.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "'nobody'" in details


async def test_a_health_watch_sees_changes_and_does_not_hold_up_the_drain(engine, server, channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    response = health_pb2.HealthCheckResponse
    assert (await watch.read()).status == response.SERVING
    engine.is_ready = False
    assert (await watch.read()).status == response.NOT_SERVING
    engine.is_ready = True
    assert (await watch.read()).status == response.SERVING
    await asyncio.wait_for(server.drain(30), 5)
    assert (await watch.read()).status == response.NOT_SERVING
    assert await watch.read() is grpc.aio.EOF


async def test_a_watch_on_an_unknown_service_says_unknown(channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_drain_answers_what_was_accepted(engine, server, stub):
    engine.delay = 0.5
    call = asyncio.ensure_future(stub.Predict(request()))
    await engine.begun()
    drain = asyncio.create_task(server.drain(30))
    await asyncio.sleep(0.1)
    assert not server.ready()
    code, _ = await status_of(stub.Predict(request()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert (await call).outputs["sum"].float_val == [3]
    await asyncio.wait_for(drain, 5)


async def test_drain_cancels_what_outlasts_the_grace_period(engine, server, stub):
    engine.delay = 60
    call = asyncio.ensure_future(stub.Predict(request()))
    await engine.begun()
    await asyncio.wait_for(server.drain(0.2), 5)
    await asyncio.wait_for(engine.cancelled.wait(), 5)
    code, _ = await status_of(call)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_reflection_knows_every_service(server):
    def ask():
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            names = database.get_services()
            file = database.FindFileContainingSymbol("tensorflow.serving.PredictRequest")
            return names, file.name

    names, file = await asyncio.to_thread(ask)
    assert {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} == set(names)
    assert file == "tensorflow_serving/apis/predict.proto"


async def test_two_servers_share_a_port_only_when_told(engine):
    first = Server(engine, engine.control, addresses=["127.0.0.1:0"], reuse_port=True)
    port = await first.start()
    second = Server(engine, engine.control, addresses=[f"127.0.0.1:{port}"], reuse_port=True)
    assert await second.start() == port
    third = Server(engine, engine.control, addresses=[f"127.0.0.1:{port}"])
    with pytest.raises(OSError, match=f"{port}"):
        await third.start()
    await first.drain(0)
    await second.drain(0)


async def test_both_protocols_answer_alike(channel, stub):
    inference = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    infer = service_pb2.ModelInferRequest(model_name="sum", raw_input_contents=[np.ones(3, "f4").tobytes()])
    infer.inputs.add(name="x", datatype="FP32", shape=[1, 3])
    theirs = await inference.ModelInfer(infer)
    ours = await stub.Predict(request())
    assert np.frombuffer(theirs.raw_output_contents[0], np.float32) == ours.outputs["sum"].float_val


async def test_requests_over_the_limit_are_refused_and_later_ones_answered(engine):
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"], max_concurrent_requests=1)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        engine.delay = 0.5
        first = asyncio.ensure_future(stub.Predict(request()))
        await engine.begun()
        code, details = await status_of(stub.Predict(request()))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details == "expected at most 1 requests at once; received: one more"
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert (await first).outputs["sum"].float_val == [3]
        assert (await stub.Predict(request())).outputs["sum"].float_val == [3]
    await server.drain(0)


async def test_numbers_are_answered_as_content_where_that_is_asked_for(engine):
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"], tensor_content=True)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = await prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(rows=2))
    assert not answer.outputs["sum"].float_val
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["sum"]), np.float32([3, 3]))
    await server.drain(0)
