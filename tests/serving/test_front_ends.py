"""Every protocol over the real engine and real SavedModels: the same answers, and the same refusals."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import tensorflow as tf
import uvicorn
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving.control import Control
from serving.datatypes import BY_NAME, data_type_of
from serving.engine import Engine
from serving.grpc.server import Server
from serving.repository import Repository
from serving.rest.app import build_app
from serving.servables.servable import LoadOptions, load_servable

from .savedmodels import STROKE_RULE, Affine, Labelled, save

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = ("float16", "float32", "float64", "bfloat16", "int8", "int32", "int64", "uint8", "uint64")
DTYPES = (*NUMBERS, "bool", "string")
X = np.array([[1, 1, 1], [0, 1, 0]], np.float32)
STROKES = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 6, 2)


UNKNOWN_SIGNATURE = ("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT")


class Refused(Exception):
    """A protocol's error, in the words that they share."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def _save_echo(path):
    module = tf.Module()

    def identity(dtype):
        function = tf.function(lambda x: {"y": tf.identity(x)})
        return function.get_concrete_function(tf.TensorSpec(None, tf.as_dtype(dtype), name="x"))

    tf.saved_model.save(module, str(path), signatures={dtype: identity(dtype) for dtype in DTYPES})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    save(Affine(10.0), base / "affine" / "7")
    save(Labelled(), base / "labelled" / "1", rules={"strokes": STROKE_RULE})
    _save_echo(base / "echo" / "1")
    return base


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(models):
    """Serves the models on free ports; returns a gRPC channel, an HTTP client, and the requests counted."""

    def load(name, version, path):
        # Compiling the echo's eleven signatures would show nothing but take most of the time.
        return load_servable(name, version, path, LoadOptions(threads=1, compile=name != "echo"))

    repository = Repository(models, load, poll_seconds=0)
    counted: list[tuple[str, str]] = []
    engine = Engine(
        repository,
        answered=lambda model, code, seconds: counted.append((model, code.name)),
        refused=lambda model, code: counted.append((model, code.name)),
    )
    await repository.start()
    control = Control(repository)
    grpc_server = Server(engine, control, addresses=["127.0.0.1:0"])
    port = await grpc_server.start()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build_app(engine, control), lifespan="off", log_level="error", timeout_keep_alive=75)
    rest_server = uvicorn.Server(config)
    rest = asyncio.create_task(rest_server.serve([listening]))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        httpx.AsyncClient(base_url=address, timeout=60, verify=False) as client,
    ):
        yield channel, client, counted
    await grpc_server.drain(5)
    rest_server.should_exit = True
    await rest
    await repository.stop(5)


async def _grpc(call):
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise Refused(error.code().name, error.details()) from None


async def _http(client, path, body):
    answer = await client.post(path, content=json.dumps(body))
    if answer.status_code == 200:
        return json.loads(answer.text)
    codes = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}
    raise Refused(codes.get(answer.status_code, str(answer.status_code)), answer.json()["error"])


async def ask_tfs_grpc(served, model, inputs, *, version=None, signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(served[0])
    answer = await _grpc(stub.Predict(request))
    return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}


async def ask_oip_grpc(served, model, inputs, *, version=None, signature=""):
    request = service_pb2.ModelInferRequest(model_name=model, model_version=str(version or ""))
    if signature:
        request.parameters["signature_name"].string_param = signature
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=data_type_of(name, array).oip_name, shape=array.shape)
        request.raw_input_contents.append(_raw(array))
    answer = await _grpc(service_pb2_grpc.GRPCInferenceServiceStub(served[0]).ModelInfer(request))
    return {
        output.name: _unraw(raw, output).reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


async def ask_tfs_rest(served, model, inputs, *, version=None, signature=""):
    address = f"/v1/models/{model}" + ("" if version is None else f"/versions/{version}")
    body = {"inputs": {name: _listed(array) for name, array in inputs.items()}, "signature_name": signature}
    outputs = (await _http(served[1], f"{address}:predict", body))["outputs"]
    if not isinstance(outputs, dict):
        outputs = {"y": outputs}
    return {name: np.array(value) for name, value in outputs.items()}


async def ask_oip_rest(served, model, inputs, *, version=None, signature=""):
    address = f"/v2/models/{model}" + ("" if version is None else f"/versions/{version}")
    tensors = [
        {
            "name": name,
            "datatype": data_type_of(name, array).oip_name,
            "shape": array.shape,
            "data": _listed(array),
        }
        for name, array in inputs.items()
    ]
    body = {"inputs": tensors, "parameters": {"signature_name": signature} if signature else {}}
    outputs = (await _http(served[1], f"{address}/infer", body))["outputs"]
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}


def _raw(array):
    if array.dtype != object:
        return array.tobytes()
    return b"".join(len(value).to_bytes(4, "little") + value for value in array.ravel())


def _unraw(raw, output):
    if output.datatype != "BYTES":
        kinds = {kind.oip_name: kind.dtype for kind in BY_NAME.values()}
        return np.frombuffer(raw, kinds[output.datatype])
    values = []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "little")
        values.append(raw[4:end])
        raw = raw[end:]
    return np.array(values, dtype=object)


def _listed(array):
    if array.dtype == object:
        return [value.decode() for value in array.ravel()] if array.ndim == 1 else array.astype(str).tolist()
    return array.astype(np.float64).tolist() if array.dtype.kind == "V" else array.tolist()


Ask = Callable[..., Awaitable[dict[str, np.ndarray]]]
DOORS = [ask_tfs_grpc, ask_oip_grpc, ask_tfs_rest, ask_oip_rest]


@pytest.fixture(params=DOORS, ids=lambda door: door.__name__.removeprefix("ask_"))
def ask(request, served) -> Ask:
    async def asking(model, inputs, **options):
        return await request.param(served, model, inputs, **options)

    return asking


async def test_the_model_answers(ask):
    np.testing.assert_allclose((await ask("affine", {"x": X}))["y"], [16, 12])
    np.testing.assert_allclose((await ask("affine", {"x": X[:1]}, version=7))["y"], [16])


@pytest.fixture(scope="module")
def expected(models):
    """What the exported model itself says to STROKES."""
    exported = tf.saved_model.load(str(models / "labelled" / "1")).signatures["serving_default"]
    return exported(strokes=tf.constant(STROKES))


async def test_a_compiled_and_padded_model_answers_with_strings(ask, expected):
    answer = await ask("labelled", {"strokes": STROKES})
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-5)
    labels = [label.decode() if isinstance(label, bytes) else label for label in answer["label"]]
    assert labels == [label.decode() for label in expected["label"].numpy()]


@pytest.mark.parametrize("dtype", DTYPES)
async def test_every_dtype_passes_through_the_model(ask, dtype):
    array = np.array([b"", b"caf\xc3\xa9", b"z"], object) if dtype == "string" else _sample(dtype)
    answer = (await ask("echo", {"x": array}, signature=dtype))["y"]
    if answer.dtype.kind == "U":
        answer = np.array([value.encode() for value in answer], object)
    np.testing.assert_array_equal(answer, array)


def _sample(dtype):
    return np.array([0, 1, 1 if dtype == "bool" else 100]).astype(BY_NAME[dtype].dtype)


def _with(value):
    changed = STROKES.copy()
    changed[1, 2, 0] = value
    return {"strokes": changed}


@pytest.mark.parametrize(
    ("model", "inputs", "options", "code", "complaint"),
    [
        ("nobody", {"x": X}, {}, "NOT_FOUND", "nobody"),
        ("affine", {"x": X}, {"version": 8}, "NOT_FOUND", "8"),
        ("affine", {"x": X}, {"signature": "other"}, "ANY", "other"),
        ("affine", {"y": X}, {}, "INVALID_ARGUMENT", "x"),
        ("affine", {"z": X, "y": X}, {}, "INVALID_ARGUMENT", "x"),
        ("affine", {}, {}, "INVALID_ARGUMENT", "x"),
        ("affine", {"x": X.astype("S").astype(object)}, {}, "INVALID_ARGUMENT", "float32"),
        ("affine", {"x": X[:, :2]}, {}, "INVALID_ARGUMENT", "float32 [?, 3]"),
        ("affine", {"x": X[0]}, {}, "INVALID_ARGUMENT", "float32 [?, 3]"),
        ("labelled", _with(np.nan), {}, "INVALID_ARGUMENT", "finite"),
        ("labelled", _with(np.inf), {}, "INVALID_ARGUMENT", "finite"),
        ("labelled", {"strokes": np.zeros((1, 17, 2), "f")}, {}, "INVALID_ARGUMENT", "1 to 16"),
        ("labelled", {"strokes": np.zeros((1, 0, 2), "f")}, {}, "INVALID_ARGUMENT", ""),
    ],
    ids=[
        "unknown-model",
        "unknown-version",
        "unknown-signature",
        "unknown-input",
        "extra-input",
        "no-input",
        "dtype",
        "shape",
        "rank",
        "nan",
        "infinity",
        "too-long",
        "too-short",
    ],
)
async def test_bad_requests_are_refused_alike(ask, model, inputs, options, code, complaint):
    with pytest.raises(Refused) as caught:
        await ask(model, inputs, **options)
    # The protocols do not agree on what a signature that is not there is.
    assert caught.value.code == code or (code == "ANY" and caught.value.code in UNKNOWN_SIGNATURE)
    assert complaint in str(caught.value)
    assert (await ask("affine", {"x": X}))["y"].shape == (2,)


async def test_status_and_metadata_agree(served):
    channel, client, _ = served
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "affine"
    (status,) = (await model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)).model_version_status
    (same,) = (await client.get("/v1/models/affine")).json()["model_version_status"]
    assert (status.version, status.state) == (7, 30)
    assert (same["version"], same["state"]) == ("7", "AVAILABLE")
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "affine"
    answer = await prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    described = (await client.get("/v1/models/affine/metadata")).json()["metadata"]["signature_def"]
    ours = described["signature_def"]["serving_default"]["inputs"]["x"]
    theirs = signatures.signature_def["serving_default"].inputs["x"]
    assert [dim["size"] for dim in ours["tensor_shape"]["dim"]] == ["-1", "3"]
    assert [dim.size for dim in theirs.tensor_shape.dim] == [-1, 3]
    assert ours["dtype"] == "DT_FLOAT"
    assert theirs.dtype == 1
    for address in ("affine", "labelled"):
        assert (await client.get(f"/v2/models/{address}/ready")).status_code == 200
        assert (await client.get(f"/v2/models/{address}")).json()["name"] == address


async def test_many_at_once_get_their_own_answers(served):
    arrays = [np.full((1, 3), index, np.float32) for index in range(24)]
    asked = [DOORS[index % 4](served, "affine", {"x": array}) for index, array in enumerate(arrays)]
    for index, answer in enumerate(await asyncio.gather(*asked)):
        np.testing.assert_allclose(answer["y"], [6 * index + 10])


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/models/affine:predict", b'{"instances": [[1, 2, 3]]}', ("affine", "OK")),
        ("/v1/models/affine:predict", b"{", ("affine", "INVALID_ARGUMENT")),
        ("/v1/models/affine:predict", b'{"instances": ["x"]}', ("affine", "INVALID_ARGUMENT")),
        ("/v1/models/affine:predict", b'{"instances": [[1, 2]]}', ("affine", "INVALID_ARGUMENT")),
        (
            "/v1/models/affine/versions/9223372036854775808:predict",
            b'{"instances": [[1, 2, 3]]}',
            ("affine", "INVALID_ARGUMENT"),
        ),
        ("/v1/models/nobody:predict", b'{"instances": [1]}', ("", "NOT_FOUND")),
        ("/v2/models/affine/infer", b"[]", ("affine", "INVALID_ARGUMENT")),
        ("/v2/models/nobody/infer", b'{"inputs": []}', ("", "NOT_FOUND")),
        ("/v2/models/affine/infer", b" " * (65 * 2**20), ("affine", "INVALID_ARGUMENT")),
    ],
    ids=lambda value: value[:30].decode() if isinstance(value, bytes) else None,
)
async def test_each_request_over_http_is_counted_once(served, path, body, expected):
    _, client, counted = served
    counted.clear()
    answer = await client.post(path, content=body)
    assert (answer.status_code == 200) == (expected[1] == "OK")
    assert counted == [expected]


def _predict_request(**wrong):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = wrong.get("model", "affine")
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(X))
    if "content" in wrong:
        request.inputs["x"].tensor_content = wrong["content"]
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("method", "payload", "expected"),
    [
        ("tensorflow.serving.PredictionService/Predict", _predict_request(), ("affine", "OK")),
        ("tensorflow.serving.PredictionService/Predict", b"\xff", ("", "INVALID_ARGUMENT")),
        ("tensorflow.serving.PredictionService/Predict", b"", ("", "INVALID_ARGUMENT")),
        ("tensorflow.serving.PredictionService/Predict", _predict_request(model="nobody"), ("", "NOT_FOUND")),
        (
            "tensorflow.serving.PredictionService/Predict",
            _predict_request(content=b"123"),
            ("affine", "INVALID_ARGUMENT"),
        ),
        ("inference.GRPCInferenceService/ModelInfer", b"\xff", ("", "INVALID_ARGUMENT")),
        ("inference.GRPCInferenceService/ModelInfer", b"\x0a\x06affine\x12\x01x", ("affine", "INVALID_ARGUMENT")),
    ],
)
async def test_each_request_over_grpc_is_counted_once(served, method, payload, expected):
    channel, _, counted = served
    counted.clear()
    call = channel.unary_unary(f"/{method}")(payload)
    assert (await call.code() == grpc.StatusCode.OK) == (expected[1] == "OK")
    assert counted == [expected]


async def test_what_is_no_inference_is_not_counted(served):
    channel, client, counted = served
    counted.clear()
    await client.get("/v1/models/nobody/metadata")
    await client.post("/v1/models/affine:explain", content=b"{}")
    await channel.unary_unary("/tensorflow.serving.PredictionService/GetModelMetadata")(b"\xff").code()
    assert counted == []
