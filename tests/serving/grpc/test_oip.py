"""GRPCInferenceService as tritonclient and plain stubs call it."""

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving.datatypes import BY_NAME
from serving.sequences import SequenceStep

X = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture
def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def infer_request(model: str = "sum", raw: dict | None = None, **fields) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=model, **fields)
    for name, array in ({"x": X} if raw is None else raw).items():
        datatype = BY_NAME[array.dtype.name].oip_name
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def typed_request(datatype: str, field: str, values: list, shape: list[int]) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="sum")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    getattr(tensor.contents, field).extend(values)
    return request


async def test_live_ready_and_metadata_of_the_server(engine, stub):
    assert (await stub.ServerLive(service_pb2.ServerLiveRequest())).live
    assert (await stub.ServerReady(service_pb2.ServerReadyRequest())).ready
    engine.is_ready = False
    assert (await stub.ServerLive(service_pb2.ServerLiveRequest())).live
    assert not (await stub.ServerReady(service_pb2.ServerReadyRequest())).ready
    assert (await stub.ServerMetadata(service_pb2.ServerMetadataRequest())).name == "seqserve"


@pytest.mark.parametrize(
    ("name", "version", "ready"), [("sum", "", True), ("sum", "1", True), ("sum", "3", False), ("no", "", False)]
)
async def test_ready_of_a_model(stub, name, version, ready):
    answer = await stub.ModelReady(service_pb2.ModelReadyRequest(name=name, version=version))
    assert answer.ready is ready


async def test_metadata_of_a_model(stub):
    answer = await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="mixed"))
    assert answer.name == "mixed"
    assert sorted(answer.versions) == ["1", "2"]
    assert answer.platform == "tensorflow_savedmodel"
    assert {t.name: (t.datatype, list(t.shape)) for t in answer.inputs} == {
        "a": ("FP32", [-1, 3]),
        "count": ("INT64", [-1]),
        "word": ("BYTES", [-1]),
    }
    assert {t.name for t in answer.outputs} == {"total", "doubled", "shout", "echo_bytes"}


async def test_a_model_without_the_default_signature_says_so(stub):
    with pytest.raises(grpc.aio.AioRpcError, match="serving_default") as caught:
        await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="echo"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_infer_raw(stub):
    answer = await stub.ModelInfer(infer_request(id="r-17"))
    assert (answer.id, answer.model_name, answer.model_version) == ("r-17", "sum", "2")
    assert [(t.name, t.datatype, list(t.shape)) for t in answer.outputs] == [("sum", "FP32", [2])]
    assert not answer.outputs[0].HasField("contents")
    np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), [3, 7])


async def test_infer_typed(stub):
    answer = await stub.ModelInfer(typed_request("FP32", "fp32_contents", [1, 2, 3, 4], [2, 2]))
    assert not answer.raw_output_contents
    assert answer.outputs[0].contents.fp32_contents == [3, 7]


async def test_infer_takes_a_version(stub):
    assert (await stub.ModelInfer(infer_request(model_version="1"))).model_version == "1"


@pytest.mark.parametrize("raw", [True, False])
async def test_infer_mixed_types_and_requested_outputs(stub, raw):
    request = service_pb2.ModelInferRequest(model_name="mixed")
    request.outputs.add(name="shout")
    request.outputs.add(name="doubled")
    tensors = {
        "a": ("FP32", [1, 3], "fp32_contents", [1, 2, 3], np.array([1, 2, 3], "<f4").tobytes()),
        "count": ("INT64", [1], "int64_contents", [-4], np.array([-4], "<i8").tobytes()),
        "word": ("BYTES", [1], "bytes_contents", [b"\xffhey"], b"\x04\x00\x00\x00\xffhey"),
    }
    for name, (datatype, shape, field, values, content) in tensors.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(content)
        else:
            getattr(tensor.contents, field).extend(values)
    answer = await stub.ModelInfer(request)
    assert [t.name for t in answer.outputs] == ["shout", "doubled"]
    if raw:
        assert answer.raw_output_contents[0] == b"\x05\x00\x00\x00\xffhey!"
        assert np.frombuffer(answer.raw_output_contents[1], "<i8") == [-8]
    else:
        assert answer.outputs[0].contents.bytes_contents == [b"\xffhey!"]
        assert answer.outputs[1].contents.int64_contents == [-8]


async def test_every_datatype_goes_both_ways(server, sample):
    dtype, array = sample
    async with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        tensor = triton.InferInput("x", array.shape, BY_NAME[dtype].oip_name)
        tensor.set_data_from_numpy(array)
        answer = await client.infer("echo", [tensor], parameters={"signature_name": dtype})
        np.testing.assert_array_equal(answer.as_numpy("y"), array)


def _with(request, change):
    change(request)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "complaint"),
    [
        (infer_request("nobody"), "NOT_FOUND", "Latest(nobody)"),
        (infer_request(model_version="3"), "NOT_FOUND", "Specific(sum, 3)"),
        (infer_request(model_version="latest"), "INVALID_ARGUMENT", "got 'latest'"),
        (infer_request(model_version="9" * 5000), "INVALID_ARGUMENT", "got '9999"),
        (infer_request(raw={"y": X}), "INVALID_ARGUMENT", "x"),
        (infer_request(raw={}), "INVALID_ARGUMENT", "x"),
        (infer_request(raw={"x": X.astype("f8")}), "INVALID_ARGUMENT", "float64"),
        (infer_request(raw={"x": X[0]}), "INVALID_ARGUMENT", "[2]"),
        (infer_request(raw={"x": X[:0]}), "INVALID_ARGUMENT", "x"),
        (
            _with(infer_request(), lambda r: r.inputs[0].shape.append(10**12)),
            "INVALID_ARGUMENT",
            "expected 16000000000000 raw bytes for 4000000000000 values of FP32, got 16",
        ),
        (
            _with(infer_request(), lambda r: r.inputs[0].shape.append(-1)),
            "INVALID_ARGUMENT",
            "got shape [2, 2, -1]",
        ),
        (
            _with(infer_request(), lambda r: setattr(r.inputs[0], "datatype", "FLOAT")),
            "INVALID_ARGUMENT",
            "got 'FLOAT'",
        ),
        (
            _with(infer_request(), lambda r: r.raw_input_contents.append(b"")),
            "INVALID_ARGUMENT",
            "expected raw_input_contents for all 1 inputs, got 2",
        ),
        (
            _with(infer_request(), lambda r: r.inputs[0].contents.fp32_contents.append(1)),
            "INVALID_ARGUMENT",
            "got both",
        ),
        (_with(infer_request(), lambda r: r.MergeFrom(infer_request())), "INVALID_ARGUMENT", "got it twice"),
        (_with(infer_request(), lambda r: r.outputs.add(name="product")), "INVALID_ARGUMENT", "product"),
        (typed_request("FP32", "fp32_contents", [1], [1, 2]), "INVALID_ARGUMENT", "expected 2 values"),
        (typed_request("FP32", "fp64_contents", [1], [1, 1]), "INVALID_ARGUMENT", "got some in fp64_contents"),
        (typed_request("FP16", "fp32_contents", [1], [1, 1]), "INVALID_ARGUMENT", "raw_input_contents"),
        (typed_request("INT8", "int_contents", [128], [1, 1]), "INVALID_ARGUMENT", "fit int8, got 128"),
        (typed_request("UINT16", "uint_contents", [2**16], [1, 1]), "INVALID_ARGUMENT", "uint16, got 65536"),
    ],
)
async def test_bad_requests_say_what_was_expected(stub, request_, code, complaint):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ModelInfer(request_)
    assert caught.value.code().name == code
    assert complaint in caught.value.details()
    assert (await stub.ModelInfer(infer_request())).id == ""


@pytest.mark.parametrize(
    "content", [b"\x01", b"\x05\x00\x00\x00abc", b"\x01\x00\x00\x00a" * 2, b"\xff\xff\xff\xff", b""]
)
async def test_bytes_that_do_not_add_up_are_refused(stub, content):
    request = service_pb2.ModelInferRequest(model_name="mixed", raw_input_contents=[content])
    request.inputs.add(name="word", datatype="BYTES", shape=[1])
    with pytest.raises(grpc.aio.AioRpcError, match="input 'word': expected") as caught:
        await stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_shared_memory_is_refused(stub):
    request = infer_request()
    request.outputs.add(name="sum").parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(grpc.aio.AioRpcError, match="shared_memory_region") as caught:
        await stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_outputs_come_as_their_highest_classes(stub):
    request = infer_request()
    request.outputs.add(name="sum").parameters["classification"].int64_param = 1
    answer = await stub.ModelInfer(request)
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [1])
    assert answer.raw_output_contents[0] == b"\x0a\x00\x00\x007.000000:1"


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sequence_id", "double_param", 1.0),
        ("sequence_id", "bool_param", True),
        ("sequence_start", "int64_param", 1),
        ("timeout", "string_param", "1"),
        ("timeout", "int64_param", -1),
        ("priority", "string_param", "high"),
        ("triton_other", "bool_param", True),
        ("signature_name", "int64_param", 1),
    ],
)
async def test_parameters_of_a_wrong_type_are_refused(stub, name, field, value):
    request = infer_request()
    setattr(request.parameters[name], field, value)
    with pytest.raises(grpc.aio.AioRpcError, match=name.partition("_")[0]) as caught:
        await stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_parameters_reach_the_engine(engine, stub, soon):
    request = infer_request()
    request.parameters["sequence_id"].string_param = "s-1"
    request.parameters["sequence_start"].bool_param = True
    request.parameters["timeout"].int64_param = 5_000_000
    request.parameters["priority"].uint64_param = 2
    request.parameters["mine"].double_param = 2.5
    request.parameters["unset"].SetInParent()
    await stub.ModelInfer(request)
    (asked,) = engine.requests
    assert asked.sequence == SequenceStep("s-1", start=True)
    assert soon(asked.deadline, 5)


@pytest.mark.parametrize(
    "method",
    [
        "SystemSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "TraceSetting",
        "LogSettings",
    ],
)
async def test_what_is_refused_says_why(channel, method):
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"")
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "does not support" in await call.details()
