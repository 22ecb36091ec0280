"""An engine-shaped class that answers the three shipped models in plain numpy, and clips in every container."""

import asyncio
import contextlib
import io
import os

import av
import numpy as np
import pytest

from serving.engine import InferRequest, InferResult
from serving.errors import NotFound

os.environ["BENTOML_DO_NOT_TRACK"] = "1"

LABELS = np.array([b"cat", b"dog", b"owl", b"fox", b"bee"], dtype=object)


class ToyEngine:
    """Keeps every request; raises `failure` where one is set; answers from the `versions` given, the last for good."""

    def __init__(self) -> None:
        self.requests: list[InferRequest] = []
        self.failure: Exception | None = None
        self.versions = [1]
        self.delay = 0.0
        self.cancelled = asyncio.Event()
        self.refused: list[tuple[str, str]] = []

    async def infer(self, request: InferRequest) -> InferResult:
        self.requests.append(request)
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure is not None:
            raise self.failure
        version = request.version or (self.versions.pop(0) if len(self.versions) > 1 else self.versions[0])
        answer = {"forecaster": _forecaster, "sketchrnn": _sketchrnn, "video": _video}.get(request.model)
        if answer is None:
            raise NotFound(f"expected a model, got {request.model!r}")
        return InferResult(request.model, version, request.signature, answer(**request.inputs))

    @contextlib.contextmanager
    def refusals(self, model: str = ""):
        try:
            yield
        except Exception as error:
            self.refused.append((model, error.code.name))
            raise


def _forecaster(history, end_day, holidays=None):
    """Forecast the last observed value, and on top the days ahead; 0.001 for each level; 0.5 where the day is known.

    On holidays, 100 less.
    """
    if holidays is not None:
        assert holidays.dtype == np.float32
        assert holidays.shape == (len(history), history.shape[1] + 7)
    assert history.dtype == np.float32
    assert end_day.dtype == np.int32
    assert history.ndim == 2
    assert end_day.shape == history.shape[:1]
    last = np.array([row[~np.isnan(row)][-1] for row in history])
    mean = last[:, None] + np.arange(1, 8) + 0.5 * (end_day != -1)[:, None]
    if holidays is not None:
        mean = mean - 100 * holidays[:, -7:]
    levels = np.arange(-4, 5) / 1000
    return {"mean": mean.astype(np.float32), "quantiles": (mean[:, :, None] + levels).astype(np.float32)}


def _sketchrnn(strokes):
    assert strokes.dtype == np.float32
    return _classes(len(strokes))


def _video(frames):
    assert frames.dtype == np.uint8
    assert frames.shape == (1, 16, 112, 112, 3)
    return _classes(1)


def _classes(rows):
    scores = np.array([0.9, 0.05, 0.03, 0.01, 0.01], np.float32)
    return {"top_classes": np.tile(LABELS, (rows, 1)), "top_scores": np.tile(scores, (rows, 1))}


@pytest.fixture
def engine() -> ToyEngine:
    return ToyEngine()


CONTAINERS = {
    "mp4-h264": ("mp4", "libx264", "yuv420p", {}),
    "mp4-fragmented": ("mp4", "libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "mov-mpeg4": ("mov", "mpeg4", "yuv420p", {}),
    "webm-vp8": ("webm", "libvpx", "yuv420p", {}),
    "webm-vp9": ("webm", "libvpx-vp9", "yuv420p", {}),
    "mkv-h264": ("matroska", "libx264", "yuv420p", {}),
    "avi-mjpeg": ("avi", "mjpeg", "yuvj420p", {}),
    "avi-mpeg4": ("avi", "mpeg4", "yuv420p", {}),
    "gif": ("gif", "gif", "rgb8", {}),
}


def encode(container="mp4-h264", *, frames=20, width=64, height=48, audio=False, video=True) -> bytes:
    """Encode a clip that grows brighter, frame i about 12 * i; `container` is a key of CONTAINERS."""
    name, codec, pixels, options = CONTAINERS[container]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=name, options=options) as file:
        streams = []
        if video:
            stream = file.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            pictures = (np.full((height, width, 3), min(255, 12 * index), np.uint8) for index in range(frames))
            streams.append(
                (stream, (av.VideoFrame.from_ndarray(it, "rgb24").reformat(format=pixels) for it in pictures))
            )
        if audio:
            stream = file.add_stream("aac", rate=48_000, layout="mono")
            silence = [av.AudioFrame(format="fltp", layout="mono", samples=1024) for _ in range(20)]
            for index, frame in enumerate(silence):
                frame.sample_rate, frame.pts = 48_000, 1024 * index
                frame.planes[0].update(bytes(4 * 1024))
            streams.append((stream, silence))
        for stream, pieces in streams:
            for piece in pieces:
                file.mux(stream.encode(piece))
            file.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="session")
def clip():
    """Give the function that encodes a clip."""
    return encode


@pytest.fixture(params=CONTAINERS)
def container(request) -> str:
    """Run the test once for each container and codec."""
    return request.param
