"""Writes clips as video files."""

from pathlib import Path

import av
import numpy as np

from training.datasets.clip_store import Frames


def write_clip(
    path: Path, frames: Frames, *, rate: int = 12, codec: str = "mpeg4", pixels: str = "yuv420p", bits: int = 1_000_000
) -> Path:
    """Write frames uint8 [frames, height, width, 3] in the container that the suffix names, and return its path.

    rate: frames a second; codec and pixels: FFmpeg's names; bits: how many a second to aim at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = pixels, bits
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    return path
