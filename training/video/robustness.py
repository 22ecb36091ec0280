"""The same clips at other frame rates and sizes and in other codecs: what a classifier must not mind."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from training.datasets.clip_files import write_clip
from training.datasets.clip_store import Frames
from training.datasets.decoding import decode_clip
from training.scores import hits
from training.video.comparison import Result, predict


@dataclass(frozen=True)
class Recording:
    """One way to record a clip.

    suffix, codec, pixels: the container and FFmpeg's names; height and width in pixels; frames: how many there are
    in the file, evenly spaced over the clip's sixteen, the nearest taken; bits: how many a second.
    """

    suffix: str = ".mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    height: int = 240
    width: int = 320
    frames: int = 16
    bits: int = 1_000_000

    def __call__(self, frames: Frames, folder: Path) -> Frames:
        """Write the clip so, read it back as a classifier would, and return that."""
        times = np.rint(np.linspace(0, len(frames) - 1, self.frames)).astype(int)
        large = [_resized(frames[time], self.height, self.width) for time in times]
        path = folder / f"clip{self.suffix}"
        write_clip(path, np.stack(large), codec=self.codec, pixels=self.pixels, bits=self.bits)
        return decode_clip(path)


RECORDINGS = {
    "mp4, H.264, 320 x 240": Recording(),
    "the same, 160 x 90": Recording(height=90, width=160),
    "the same, 854 x 480": Recording(height=480, width=854, bits=2_000_000),
    "the same, half the frame rate": Recording(frames=8),
    "the same, twice the frame rate": Recording(frames=32),
    "the same, 100 kbit a second": Recording(bits=100_000),
    "webm, VP9": Recording(".webm", "libvpx-vp9"),
    "avi, Motion JPEG": Recording(".avi", "mjpeg", "yuvj420p"),
    "gif": Recording(".gif", "gif", "rgb8"),
}


def robustness_rows(results: Sequence[Result], count: int, *, seed: int = 0) -> list[dict[str, str]]:
    """One row for each way to record: the share of right answers of every result, on the same `count` clips.

    The first row is that of the clips as they are.
    """
    columns: dict[str, dict[str, str]] = {}
    chosen = {}
    for result in results:
        if result.test not in chosen:
            order = np.random.default_rng(seed).permutation(len(result.clips))[:count]
            frames = result.clips.frames[np.sort(order)]
            ways = {"as they are": frames} | {name: recorded(frames, way) for name, way in RECORDINGS.items()}
            chosen[result.test] = (result.clips.labels[np.sort(order)], ways)
        labels, ways = chosen[result.test]
        column = f"{result.architecture}, {result.test} ({len(labels)})"
        columns[column] = {
            name: f"{100 * np.mean([hits(predict(m.classify, frames), labels, 1) for m in result.models]):.1f} %"
            for name, frames in ways.items()
        }
    names = ["as they are", *RECORDINGS]
    return [{"recorded as": name, **{column: shares[name] for column, shares in columns.items()}} for name in names]


def recorded(frames: NDArray[np.uint8], recording: Recording) -> NDArray[np.uint8]:
    """Record every clip of uint8 [clips, 16, 112, 112, 3] in one way; the answer has the same shape."""
    with tempfile.TemporaryDirectory() as folder:
        return np.stack([recording(clip, Path(folder)) for clip in frames])


def _resized(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
    return picture.reformat(width, height, interpolation="BICUBIC").to_ndarray()
