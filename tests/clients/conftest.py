"""A small server of the Open Inference Protocol and of uploads, whose answers tests can compute."""

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import av
import grpc
import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tritonclient.grpc import service_pb2, service_pb2_grpc

from seqserve_client import Client
from seqserve_client._tensors import decode, encode

Arrays = Mapping[str, np.ndarray]


def forecaster(inputs: Arrays) -> Arrays:
    """The last seven days again, and quantiles one apart around them."""
    history = inputs["history"]
    mean = np.where(np.isnan(history[:, -7:]), np.nanmean(history, axis=1, keepdims=True), history[:, -7:])
    quantiles = mean[:, :, np.newaxis] + np.arange(-4, 5, dtype=np.float32)
    return {"mean": mean, "quantiles": quantiles}


def classes(names: list[str], scores: np.ndarray) -> Arrays:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    labels = np.array(names, dtype=object)[order]
    best = np.take_along_axis(scores, order, axis=1)
    return {"probabilities": scores, "top_classes": labels, "top_scores": best}


def sketchrnn(inputs: Arrays) -> Arrays:
    """Scores a drawing by the share of its way that goes across, and the share that goes down."""
    way = np.abs(inputs["strokes"][:, :, :2]).sum(axis=1) + 1e-9
    return classes(["across", "down"], (way / way.sum(axis=1, keepdims=True)).astype(np.float32))


def video(inputs: Arrays) -> Arrays:
    """Scores a clip by its mean colour."""
    frames = inputs["frames"]
    assert frames.shape[1:] == (16, 112, 112, 3)
    colour = frames.mean(axis=(1, 2, 3)) + 1e-9
    return classes(["red", "green", "blue"], (colour / colour.sum(axis=1, keepdims=True)).astype(np.float32))


MODELS: dict[str, Callable[[Arrays], Arrays]] = {
    "forecaster": forecaster,
    "sketchrnn": sketchrnn,
    "video": video,
    "echo": lambda inputs: inputs,
}


@dataclass
class Peers:
    """What the server has seen, and what it shall do to the next calls."""

    connections: set[str] = field(default_factory=set)
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    failures: list[tuple[grpc.StatusCode, str]] = field(default_factory=list)
    http_failures: list[Response] = field(default_factory=list)
    delay: float = 0.0
    typed: bool = False


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._wake = threading.Event()

    def _arrive(self, request: Any, context: grpc.ServicerContext) -> None:
        self._peers.connections.add(context.peer())
        self._peers.requests.append(request)
        self._peers.metadata.append(dict(context.invocation_metadata()))
        if self._peers.failures:
            context.abort(*self._peers.failures.pop(0))
        if self._peers.delay:
            self._wake.wait(self._peers.delay)

    def ServerLive(self, request, context):  # noqa: N802
        self._arrive(request, context)
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):  # noqa: N802
        self._arrive(request, context)
        return service_pb2.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):  # noqa: N802
        self._arrive(request, context)
        return service_pb2.ModelReadyResponse(ready=request.name in MODELS)

    def ServerMetadata(self, request, context):  # noqa: N802
        self._arrive(request, context)
        return service_pb2.ServerMetadataResponse(name="small", version="0", extensions=["none"])

    def ModelMetadata(self, request, context):  # noqa: N802
        self._arrive(request, context)
        response = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"], platform="numpy")
        response.inputs.add(name="history", datatype="FP32", shape=[-1, -1])
        return response

    def ModelInfer(self, request, context):  # noqa: N802
        self._arrive(request, context)
        if request.model_name not in MODELS:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_name!r}")
        inputs = {
            tensor.name: decode(tensor.name, tensor.datatype, tensor.shape, raw)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        outputs = MODELS[request.model_name](inputs)
        wanted = [output.name for output in request.outputs] or list(outputs)
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name in wanted:
            datatype, raw = encode(name, outputs[name])
            tensor = response.outputs.add(name=name, datatype=datatype, shape=outputs[name].shape)
            if self._peers.typed:
                values = outputs[name].ravel().tolist()
                contents = tensor.contents
                strings = [v.encode() if isinstance(v, str) else v for v in values]
                (contents.bytes_contents if datatype == "BYTES" else contents.fp32_contents).extend(strings)
            else:
                response.raw_output_contents.append(raw)
        return response


def upload_app(peers: Peers) -> Starlette:
    async def classify_video(request: Request) -> Response:
        async with request.form() as form:
            file = form["video"]
            content = await file.read()
            peers.uploads.append((file.filename, content, dict(request.headers)))
        await asyncio.sleep(peers.delay)
        if peers.http_failures:
            return peers.http_failures.pop(0)
        with av.open(io.BytesIO(content)) as container:
            frames = np.stack(
                [frame.to_ndarray(format="rgb24", width=112, height=112) for frame in container.decode(video=0)]
            )
        answer = video({"frames": frames[np.newaxis, :16]})
        best = zip(answer["top_classes"][0], answer["top_scores"][0], strict=True)
        return JSONResponse(
            {
                "model": "video",
                "version": 1,
                "classes": [{"label": label, "score": float(score)} for label, score in best],
            }
        )

    return Starlette(routes=[Route("/classify_video", classify_video, methods=["POST"])])


@dataclass(frozen=True)
class Server:
    """Where the small server listens, and its peers' traces."""

    grpc_target: str
    http_url: str
    peers: Peers

    def client(self, **options: Any) -> Client:
        return Client(grpc_target=self.grpc_target, http_url=self.http_url, **options)


@pytest.fixture(scope="session")
def _addresses() -> Iterator[tuple[str, str, Peers]]:
    peers = Peers()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(peers), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = uvicorn.Server(uvicorn.Config(upload_app(peers), port=0, log_level="error", lifespan="off"))
    listening = web.config.bind_socket()
    thread = threading.Thread(target=web.run, args=([listening],), daemon=True)
    thread.start()
    yield f"127.0.0.1:{port}", f"http://127.0.0.1:{listening.getsockname()[1]}", peers
    server.stop(None).wait()
    web.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture
def server(_addresses: tuple[str, str, Peers]) -> Server:
    """The small server, with no trace of earlier tests."""
    grpc_target, http_url, peers = _addresses
    peers.__init__()
    return Server(grpc_target, http_url, peers)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def encode_frames(frames: np.ndarray, container_format: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A clip file of RGB frames uint8 [n, height, width, 3]."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def encode_clip() -> Callable[..., bytes]:
    """Makes a clip file of RGB frames uint8 [n, height, width, 3]."""
    return encode_frames


@pytest.fixture(scope="session")
def blue_frames() -> np.ndarray:
    """Twenty blue frames, uint8 [20, 48, 64, 3], each a little brighter than the one before."""
    frames = np.zeros((20, 48, 64, 3), np.uint8)
    frames[..., 2] = np.arange(150, 250, 5)[:, np.newaxis, np.newaxis]
    return frames


@pytest.fixture(scope="session")
def blue_clip(blue_frames: np.ndarray) -> bytes:
    return encode_frames(blue_frames)
