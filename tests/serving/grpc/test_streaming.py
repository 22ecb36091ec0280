"""ModelStreamInfer: answers in order, each request with its own error, and streams that hold nobody up."""

import asyncio

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving.errors import Unavailable
from serving.grpc.streaming import answered_in_order


@pytest.fixture
def stream(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()


def request_of(value: float, *, model: str = "sum", id: str = "") -> service_pb2.ModelInferRequest:  # noqa: A002
    request = service_pb2.ModelInferRequest(model_name=model, id=id)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(np.array([value], np.float32).tobytes())
    return request


def value_of(response) -> float:
    return float(np.frombuffer(response.infer_response.raw_output_contents[0], np.float32)[0])


async def test_each_request_gets_its_own_answer_or_error(stream):
    await stream.write(request_of(1, id="a"))
    await stream.write(request_of(2, id="b", model="nobody"))
    await stream.write(request_of(3, id="c"))
    await stream.done_writing()
    first, wrong, last = [response async for response in stream]
    assert [response.infer_response.id for response in (first, wrong, last)] == ["a", "b", "c"]
    assert (value_of(first), value_of(last)) == (1, 3)
    assert first.error_message == ""
    assert "Latest(nobody)" in wrong.error_message
    assert all(r.infer_response.parameters["triton_final_response"].bool_param for r in (first, wrong, last))
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_model_that_breaks_does_not_break_the_stream(engine, stream):
    engine.failure = RuntimeError("/secret")
    await stream.write(request_of(1))
    assert (await stream.read()).error_message == "internal error"
    engine.failure = None
    await stream.write(request_of(2))
    assert value_of(await stream.read()) == 2


async def test_what_does_not_parse_ends_the_stream_after_the_answers_before_it(channel):
    call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
    await call.write(request_of(1).SerializeToString())
    await call.write(b"\xff")
    assert value_of(service_pb2.ModelStreamInferResponse.FromString(await call.read())) == 1
    with pytest.raises(grpc.aio.AioRpcError, match="do not parse") as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_hanging_up_cancels_what_is_under_way(engine, stream):
    engine.delay = 30
    await stream.write(request_of(1))
    await engine.begun()
    stream.cancel()
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_a_stream_has_its_answers_and_does_not_hold_up_a_drain(engine, server, stream):
    engine.delay = 0.2
    await stream.write(request_of(1))
    await engine.begun()
    began = asyncio.get_running_loop().time()
    draining = asyncio.create_task(server.drain(20))
    assert value_of(await stream.read()) == 1
    with pytest.raises(grpc.aio.AioRpcError, match="stopping") as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await draining
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_deadline_holds_for_the_requests_of_a_stream(engine, channel, soon):
    stream = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(timeout=20)
    await stream.write(request_of(1))
    await stream.read()
    assert soon(engine.requests[0].deadline, 20)


async def counted(limit):
    for number in range(limit):
        yield number


async def test_only_so_many_are_in_flight():
    under_way = most = 0

    async def answer(number):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001 * (number % 3))
        under_way -= 1
        return number

    answers = [a async for a in answered_in_order(counted(50), answer, asyncio.Event(), most_in_flight=4)]
    assert answers == list(range(50))
    assert most == 4


async def test_one_in_flight_is_one_at_a_time():
    async def answer(number):
        return number

    assert [a async for a in answered_in_order(counted(3), answer, asyncio.Event(), most_in_flight=1)] == [0, 1, 2]


async def test_a_closed_stream_says_so():
    closing = asyncio.Event()
    closing.set()

    async def endless():
        await asyncio.sleep(30)
        yield 1

    async def answer(number):
        return number

    with pytest.raises(Unavailable):
        [a async for a in answered_in_order(endless(), answer, closing)]
