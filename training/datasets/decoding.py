"""Frames and pictures from encoded clips, by PyAV."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from training.datasets.clip_store import FRAMES, SIDE, ClipError, Frames


@dataclass(frozen=True)
class Encoded:
    """A clip as the content of a file; `name` stands for it in messages."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Jpegs:
    """A clip as one JPEG picture a frame, of which only those are kept that are wanted."""

    name: str
    pictures: tuple[bytes, ...]


Clip = str | os.PathLike[str] | Encoded


def sample_indices(count: int, frames: int = FRAMES) -> NDArray[np.int64]:
    """Give the indices of `frames` frames evenly spaced over a clip of `count`, first and last included."""
    return np.rint(np.linspace(0, count - 1, frames)).astype(np.int64)


def decode_clip(clip: Clip, frames: int = FRAMES, side: int = SIDE) -> Frames:
    """Decode evenly spaced frames of a clip, each resized whole, uint8 [frames, side, side, 3].

    Reads the file twice, first to count, so that a long clip needs no memory for the frames it does not use.
    Raises ClipError, naming the file, where it is no video or breaks off.
    """
    with _naming(clip):
        wanted = sample_indices(_count(clip), frames)
        kept: dict[int, Frames] = {}
        for index, frame in enumerate(_decoded(clip)):
            if index in wanted:
                kept[index] = _resized(frame, side, side)
        return np.stack([kept[index] for index in wanted])


def decode_jpegs(clip: Jpegs, side: int = SIDE) -> Frames:
    """Decode the pictures of a clip, each resized whole, uint8 [pictures, side, side, 3]."""
    with _naming(clip.name):
        return np.stack([_resized(_picture(content), side, side) for content in clip.pictures])


def decode_picture(clip: Clip, place: float, side: int) -> NDArray[np.uint8]:
    """Decode the one frame at `place` (0 to 1) of a clip, uint8 [height, width, 3], the shorter of them `side`."""
    with _naming(clip):
        wanted = round(place * (_count(clip) - 1))
        frame = next(islice(_decoded(clip), wanted, None))
        scale = side / min(frame.width, frame.height)
        return _resized(frame, round(frame.width * scale), round(frame.height * scale))


@contextmanager
def _naming(clip: Clip) -> Iterator[None]:
    """Turn what may go wrong in reading a clip into a ClipError that names it."""
    try:
        yield
    except (av.FFmpegError, OSError, ClipError, KeyError, StopIteration) as error:
        reason = error.strerror if isinstance(error, av.FFmpegError | OSError) else error
        raise ClipError(f"expected a clip that decodes to its end ({reason}). Received: {clip}") from error


def _resized(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    return frame.reformat(width, height, "rgb24", interpolation=Interpolation.BILINEAR).to_ndarray()


def _count(clip: Clip) -> int:
    count = sum(1 for _ in _decoded(clip))
    if count == 0:
        raise ClipError("it has no frames")
    return count


def _decoded(clip: Clip) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(clip.content) if isinstance(clip, Encoded) else os.fspath(clip)) as container:
        if not container.streams.video:
            raise ClipError("it has no video stream")
        yield from container.decode(video=0)


def _picture(content: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    return next(iter([*decoder.decode(av.Packet(content)), *decoder.decode(None)]))
