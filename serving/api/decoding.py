"""Video files decoded to sixteen small frames, within limits of size, count and time."""

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from serving.api.containers import EXPECTED, recognise
from serving.errors import DeadlineExceeded, InvalidInput, Overloaded

FRAMES, SIDE = 16, 112
MIN_FRAMES, MAX_FRAMES = 2, 4000
MAX_PIXELS = 4096 * 2304
MAX_SECONDS = 30.0
_MODERN = {"h264", "hevc", "libdav1d", "av1", "vp8", "vp9", "libvpx", "libvpx-vp9"}
_OLDER = {"mpeg4", "msmpeg4", "msmpeg4v2", "mpeg1video", "mpeg2video", "h263", "mjpeg", "gif"}
_LOSSLESS = {"rawvideo", "ffv1", "huffyuv"}
CODECS = _MODERN | _OLDER | _LOSSLESS

_CODEC_LIMITS = {"max_pixels": str(MAX_PIXELS), "threads": "1"}
_CONTAINER_LIMITS = {
    "codec_whitelist": ",".join(sorted(CODECS)),
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif",
    "protocol_whitelist": "none",
    "probesize": str(4 * 1024 * 1024),
}

Frames = NDArray[np.uint8]


class Decoder:
    """Decodes clips off the event loop, a few at a time.

    threads: how many at once.
    waiting: how many more may wait for a thread; beyond them a clip is refused.
    """

    def __init__(self, threads: int = 2, waiting: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._room = threads + waiting

    async def frames(self, data: bytes, deadline: float) -> Frames:
        """Decode a file to uint8 [16, 112, 112, 3], RGB, evenly spaced over the clip, first and last included.

        deadline: on the clock of time.monotonic(), in seconds.
        Raises InvalidInput, DeadlineExceeded, or Overloaded where too many clips wait already.
        """
        if self._room == 0:
            raise Overloaded("expected a free place among the clips to be decoded, got none; try again later")
        self._room -= 1
        stop = threading.Event()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, decode, data, deadline, stop)
        finally:
            stop.set()  # the caller may have gone while the thread is still at it
            self._room += 1


def decode(data: bytes, deadline: float, stop: threading.Event | None = None) -> Frames:
    """Decode in this thread; see Decoder.frames. Ends soon after `stop` is set."""
    container = recognise(data)
    limit = min(deadline, time.monotonic() + MAX_SECONDS)
    small: list[Frames] = []
    reformatter = VideoReformatter()
    try:
        with av.open(
            io.BytesIO(data),
            "r",
            format=container.demuxer,
            options=_CODEC_LIMITS,
            container_options=_CONTAINER_LIMITS,
            metadata_errors="ignore",
            io_open=_refuse_open,
        ) as file:
            for frame in _video_frames(file):
                if time.monotonic() > limit or (stop is not None and stop.is_set()):
                    _out_of_time(deadline, len(small))
                if len(small) == MAX_FRAMES:
                    raise InvalidInput(f"expected a clip of at most {MAX_FRAMES:,} frames, got more")
                resized = reformatter.reformat(frame, SIDE, SIDE, "rgb24", interpolation=Interpolation.BILINEAR)
                small.append(resized.to_ndarray().astype(np.uint8, copy=False))
    except (av.FFmpegError, MemoryError, OverflowError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "a decoder gave up"
        raise InvalidInput(
            f"expected a whole {container.name} file that decodes to its end, in frames of at most "
            f"{MAX_PIXELS:,} pixels. Received: {len(data):,} bytes that break off after {len(small):,} frames "
            f"({reason})"
        ) from None
    if len(small) < MIN_FRAMES:
        raise InvalidInput(f"expected a clip of at least {MIN_FRAMES} frames, got {len(small)}")
    return np.stack([small[index] for index in np.rint(np.linspace(0, len(small) - 1, FRAMES)).astype(int)])


def _video_frames(file: InputContainer) -> Iterator[av.VideoFrame]:
    if not file.streams.video:
        kinds = sorted({stream.type for stream in file.streams})
        raise InvalidInput(
            f"expected {EXPECTED}. Received: a file with {' and '.join(kinds) or 'nothing'} but no video"
        )
    stream = file.streams.video[0]
    codec = stream.codec_context
    if codec is None or codec.name not in CODECS:
        name = "an unknown one" if codec is None else codec.name
        raise InvalidInput(f"expected a common video codec ({', '.join(sorted(CODECS))}), got {name}")
    if codec.width * codec.height > MAX_PIXELS:
        raise InvalidInput(f"expected frames of at most {MAX_PIXELS:,} pixels, got {codec.width} x {codec.height}")
    codec.options = _CODEC_LIMITS
    codec.thread_count = 1
    for packet in file.demux(stream):
        if packet.is_corrupt:
            raise InvalidInput("expected a whole file, got one that breaks off within a frame")
        yield from packet.decode()


def _out_of_time(deadline: float, decoded: int) -> NoReturn:
    if time.monotonic() > deadline:
        raise DeadlineExceeded(f"the request's time ran out while its clip was decoded, after {decoded:,} frames")
    raise InvalidInput(f"expected a clip that decodes within {MAX_SECONDS:.0f} s, got {decoded:,} frames by then")


def _refuse_open(url: str, flags: int, options: object) -> NoReturn:  # noqa: ARG001
    raise PermissionError("a clip must not open other files")
