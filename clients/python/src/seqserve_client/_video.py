"""Clips: from a file, its bytes or an array of frames to the video model's input. PyAV does the decoding."""

import io
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqserve_client._exceptions import InvalidInput, MissingDependency
from seqserve_client._tensors import Array

if TYPE_CHECKING:
    import av

Video = str | os.PathLike[str] | bytes | Array

FRAMES = 16
SIDE = 112
_MIN_FRAMES = 2
# Without it FFmpeg would open playlists, and with them other files, and take pictures and text for clips.
_FORMATS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"}


def can_decode() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def content_of(video: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    """A file name and the bytes of a clip. Raises OSError as open() does."""
    if isinstance(video, bytes):
        return "video", video
    path = Path(video)
    return path.name, path.read_bytes()


def sample_indices(count: int) -> Array:
    """Which frames of `count` the model sees: 16, evenly spaced, the first and the last among them."""
    return np.rint(np.linspace(0, count - 1, FRAMES)).astype(np.int64)


def inputs_of(frames: Array) -> dict[str, Array]:
    """The video model's input, a batch of one."""
    return {"frames": frames[np.newaxis]}


def frames_of_array(frames: Array) -> Array:
    """uint8 [16, 112, 112, 3] from RGB frames uint8 [n, height, width, 3], each resized whole.

    Raises InvalidInput for another shape or dtype; MissingDependency where resizing needs PyAV.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise InvalidInput(
            f"frames: expected uint8 [n, height, width, 3]. Received: {frames.dtype} {list(frames.shape)}"
        )
    sampled = frames[sample_indices(len(frames))]
    if sampled.shape[1:3] == (SIDE, SIDE):
        return sampled
    if not can_decode():
        raise MissingDependency(
            f"frames that are not {SIDE}x{SIDE} need PyAV for resizing: pip install 'seqserve-client[video]'"
        )
    import av

    return np.stack([_resized(av.VideoFrame.from_ndarray(np.ascontiguousarray(f), format="rgb24")) for f in sampled])


def frames_of_file(content: bytes) -> Array:
    """uint8 [16, 112, 112, 3] from an encoded clip (mp4, webm, avi, gif).

    Decodes twice, first to count, so that a long clip needs no memory for the frames that are not used.
    Raises InvalidInput where it is no such clip or breaks off.
    """
    import av

    try:
        count = sum(1 for _ in _decoded(content))
        if count < _MIN_FRAMES:
            raise InvalidInput(f"video: expected a clip of at least {_MIN_FRAMES} frames, got {count}")
        wanted = sample_indices(count)
        kept = {i: _resized(frame) for i, frame in enumerate(_decoded(content)) if i in wanted}
    except (av.FFmpegError, IndexError) as error:
        raise InvalidInput(
            f"video: expected an mp4, webm, avi or gif file that decodes to its end. "
            f"Received: {len(content)} bytes ({getattr(error, 'strerror', error)})"
        ) from None
    return np.stack([kept[i] for i in wanted])


def _decoded(content: bytes) -> Iterator["av.VideoFrame"]:
    import av

    with av.open(io.BytesIO(content), "r", container_options=_FORMATS, metadata_errors="ignore") as container:
        if not container.streams.video:
            raise InvalidInput("video: expected a video stream. Received: a file without one")
        for packet in container.demux(container.streams.video[0]):
            if packet.is_corrupt:
                raise InvalidInput("video: expected a whole file, got one that breaks off within a frame")
            yield from packet.decode()


def _resized(frame: "av.VideoFrame") -> Array:
    return frame.reformat(SIDE, SIDE, "rgb24", interpolation="BILINEAR").to_ndarray()
