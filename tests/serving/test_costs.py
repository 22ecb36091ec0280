"""What a request costs in Python: calls of functions, counted, for seconds differ from machine to machine.

A request goes in-process from a front end's first line to its last, through the real engine, batcher and metrics; only
the wire is left out. Most requests are like others before and take the short way, from a connection's bytes to those
that it writes; the first of their kind, and those that are wrong, take the long one. The bounds are a twelfth above
what it takes today, for a slow machine now and then counts some more: lower them when it takes less, and know why
before raising one.
"""

import asyncio
import itertools
import json
import sys
import threading
import time
from pathlib import Path

import hpack
import numpy as np
import pytest
import pytest_asyncio
import tensorflow as tf
import uvicorn
from prometheus_client import CollectorRegistry
from tensorflow_serving.apis import predict_pb2
from tritonclient.grpc import service_pb2
from uvicorn.server import ServerState

from serving.control import Control
from serving.engine import Engine
from serving.grpc import oip, tfserving
from serving.grpc.calls import calls_of
from serving.grpc.http2 import Limits
from serving.grpc.http2.connection import Connection, Crowd
from serving.grpc.http2.frames import PREFACE, frame
from serving.metrics import Metrics
from serving.repository import Repository
from serving.rest.app import build_app
from serving.rest.entrance import Entrance
from serving.rest.express import lane
from serving.servables.servable import LoadOptions, load_servable

from .savedmodels import Affine, save

REQUESTS = 50
PACKAGE = str(Path(__file__).parents[2] / "serving")
# Calls of one request: of functions in serving/ or by them, other packages' own calls not counted.
BOUNDS = {
    "Predict": 375,
    "ModelInfer": 370,
    ":predict": 485,
    "/infer": 450,
    "Predict, short": 288,
    "ModelInfer, short": 294,
    ":predict, short": 350,
    "/infer, short": 294,
}

X = np.array([[1, 1, 1], [1, 1, 1]], np.float32)  # long enough to be found in a message


class Calls:
    """Counts, in every thread, calls of this package's functions and what they call themselves."""

    def __init__(self) -> None:
        self._counter = itertools.count()
        self.counting = False

    def __call__(self, frame, event, _) -> None:
        if not self.counting:
            return
        if event == "call":
            caller = frame.f_back
            if _ours(frame) or (caller is not None and _ours(caller)):
                next(self._counter)
        elif event == "c_call" and _ours(frame):
            next(self._counter)

    def so_far(self) -> int:
        """Reading it counts as one itself."""
        return next(self._counter)


def _ours(frame) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


@pytest_asyncio.fixture
async def asked(tmp_path):
    """The calls that are counted, and for each way to ask a coroutine function that asks once."""
    save(Affine(10.0), tmp_path / "affine" / "7", sizes=(1, 4))
    metrics, calls = Metrics(CollectorRegistry()), Calls()
    previous = sys.getprofile()
    threading.setprofile(calls)  # the batcher's thread is yet to start

    def load(name, version, path):
        observe = lambda report: metrics.ran(name, report)  # noqa: E731
        return load_servable(name, version, path, LoadOptions(threads=1, compile=False), observe)

    repository = Repository(tmp_path, load, poll_seconds=0)
    engine = Engine(
        repository,
        answered=metrics.answered,
        refused=metrics.refused,
        served=metrics.served,
        tally=metrics.tally,
        computed=metrics.computed,
    )
    await repository.start()
    control = Control(repository)
    predict = tfserving.PredictionService(engine, max_message_bytes=2**20).methods
    infer = oip.InferenceService(engine, control, ready=lambda: True, allow_model_control=False).methods
    rest = Entrance(build_app(engine, control))
    ways = {
        "Predict": _grpc(tfserving.SERVICE, predict, "Predict", _predict_request()),
        "ModelInfer": _grpc(oip.SERVICE, infer, "ModelInfer", _infer_request()),
        ":predict": _rest(rest, "/v1/models/affine:predict", {"instances": [{"x": row} for row in X.tolist()]}),
        "/infer": _rest(
            rest,
            "/v2/models/affine/infer",
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": X.ravel().tolist()}]},
        ),
    }
    connection = GrpcConnection({**calls_of(tfserving.SERVICE, predict), **calls_of(oip.SERVICE, infer)})
    lane = RestConnection(rest)
    binary = {"name": "x", "datatype": "FP32", "shape": X.shape, "parameters": {"binary_data_size": X.nbytes}}
    head = json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
    ways |= {
        "Predict, short": connection.asking(f"/{tfserving.SERVICE}/Predict", _predict_request()),
        "ModelInfer, short": connection.asking(f"/{oip.SERVICE}/ModelInfer", _infer_request()),
        ":predict, short": lane.asking(
            "/v1/models/affine:predict", json.dumps({"instances": [{"x": row} for row in X.tolist()]}).encode()
        ),
        "/infer, short": lane.asking(
            "/v2/models/affine/infer", head + X.tobytes(), f"inference-header-content-length: {len(head)}\r\n"
        ),
    }
    yield calls, ways
    threading.setprofile(previous)
    await repository.stop(5)


class Wire(asyncio.Transport):
    """The other end of a connection: what is written to it, one answer after another."""

    def __init__(self, protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._answered = None
        protocol.connection_made(self)

    async def ask(self, data: bytes) -> bytes:
        self._answered = asyncio.get_running_loop().create_future()
        self._protocol.data_received(data)
        return await self._answered

    def write(self, data) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class GrpcConnection:
    """One client's, whose calls follow one after another."""

    def __init__(self, calls) -> None:
        self._wire = Wire(Connection(calls, Limits(2**20, 100), Crowd()))
        self._wire._protocol.data_received(PREFACE + frame(4, 0, 0, b""))
        self._encoder = hpack.Encoder()
        self._stream = 1

    def asking(self, path, payload):
        message = b"\0" + len(payload).to_bytes(4) + payload
        head = {":method": "POST", ":scheme": "http", ":path": path, "content-type": "application/grpc"}

        async def ask():
            block = self._encoder.encode(head.items())
            stream, self._stream = self._stream, self._stream + 2
            return await self._wire.ask(frame(1, 4, stream, block) + frame(0, 1, stream, message))

        return ask


class RestConnection:
    """One client's, whose requests follow one after another."""

    def __init__(self, app) -> None:
        config = uvicorn.Config(app, lifespan="off")
        config.load()
        self._wire = Wire(lane(app.find)(config, ServerState(), {}, asyncio.get_running_loop()))

    def asking(self, path, body, headers=""):
        head = f"POST {path} HTTP/1.1\r\nhost: here\r\n{headers}content-length: {len(body)}\r\n\r\n".encode()

        async def ask():
            return await self._wire.ask(head + body)

        return ask


def _predict_request():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "affine"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(X))
    return request.SerializeToString()


def _infer_request():
    request = service_pb2.ModelInferRequest(model_name="affine", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=X.shape)
    return request.SerializeToString()


def _grpc(service, methods, name, payload):
    call = calls_of(service, methods)[f"/{service}/{name}"]

    async def ask():
        return await call.answer(payload, time.monotonic() + 10)

    return ask


def _rest(app, path, body):
    content = json.dumps(body).encode()

    async def ask():
        messages = [{"type": "http.request", "body": content, "more_body": False}]
        sent = []

        async def receive():
            if messages:
                return messages.pop()
            return await asyncio.get_running_loop().create_future()

        async def send(message):
            sent.append(message)

        headers = [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "root_path": "", "query_string": b""}
        await app({**scope, "headers": headers}, receive, send)
        assert sent[0]["status"] == 200, sent
        return sent[1]["body"]

    return ask


@pytest.mark.parametrize("way", BOUNDS)
async def test_a_request_takes_no_more_calls_than_it_did(asked, way):
    calls, ways = asked
    ask = ways[way]
    for _ in range(3):  # what is made once is made here
        answer = await ask()
        assert b"16.0" in answer or np.float32(16).tobytes() in answer
    previous = sys.getprofile()
    sys.setprofile(calls)
    calls.counting = True
    try:
        began = calls.so_far()
        for _ in range(REQUESTS):
            await ask()
        counted = (calls.so_far() - began) / REQUESTS
    finally:
        calls.counting = False
        sys.setprofile(previous)
    assert counted <= BOUNDS[way], f"{way}: {counted:.0f} calls a request"
    assert counted > BOUNDS[way] * 0.8, f"{way}: {counted:.0f} calls a request, so lower the bound"
