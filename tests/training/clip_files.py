"""Small clips in every format, written with PyAV."""

from pathlib import Path

import av
import numpy as np

CODECS = {
    ".mp4": ("mpeg4", "yuv420p"),
    ".webm": ("libvpx", "yuv420p"),
    ".avi": ("mpeg4", "yuv420p"),
    ".gif": ("gif", "rgb8"),
}


def write_clip(path: Path, frames: int = 24, *, width: int = 160, height: int = 96, shade: int = 0) -> Path:
    """Write a clip that grows lighter from frame to frame, its left half redder than its right."""
    codec, pixels = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for index in range(frames):
            picture = np.full((height, width, 3), shade + 6 * index, np.uint8)
            picture[:, : width // 2, 0] += 80
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def write_folder(folder: Path, clips: int = 2) -> Path:
    for split in ("train", "valid", "test"):
        for shade, name in enumerate(("calm", "loud")):
            for index in range(clips):
                write_clip(folder / split / name / f"{index}.mp4", shade=40 * shade)
    return folder
