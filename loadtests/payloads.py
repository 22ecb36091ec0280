"""What callers send: series of many lengths with gaps, drawings of many sizes, clips of many kinds. All are made up.

Each function takes a numpy Generator, so that a seed gives the same mix again.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

import av
import numpy as np

T = TypeVar("T")

FRAMES, SIDE = 16, 112
MIN_OBSERVED = 7
# (length in days, share of callers): most have some weeks to some years, a few have the most that the model takes.
LENGTHS = ((7, 0.05), (28, 0.2), (56, 0.25), (91, 0.2), (200, 0.15), (400, 0.1), (1024, 0.05))
# (container, codec, its quickest settings, pixel format, width, height, frames)
CLIPS = (
    ("mp4", "libx264", {"preset": "ultrafast"}, "yuv420p", 320, 240, 48),
    ("mp4", "libx264", {"preset": "ultrafast"}, "yuv420p", 640, 360, 60),
    ("mp4", "mpeg4", {}, "yuv420p", 176, 144, 24),
    ("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}, "yuv420p", 240, 136, 30),
    ("gif", "gif", {}, "rgb8", 160, 120, 20),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One daily series, NaN for a gap; last_date None where the caller does not know it."""

    values: np.ndarray
    last_date: date | None


@dataclass(frozen=True, slots=True)
class Clip:
    """One video file."""

    name: str
    content: bytes


def pool(make: Callable[[np.random.Generator], T], size: int, seed: int) -> list[T]:
    """So many payloads; making them beforehand keeps their cost out of the load."""
    rng = np.random.default_rng(seed)
    return [make(rng) for _ in range(size)]


def series(rng: np.random.Generator) -> Series:
    """A level with a trend, a weekly season and noise; half have gaps, two thirds a date."""
    days, shares = zip(*LENGTHS, strict=True)
    longest = int(rng.choice(days, p=shares))
    length = max(MIN_OBSERVED, longest - int(rng.integers(0, 7)))
    t = np.arange(length)
    level = float(rng.lognormal(5, 2))
    values = level * (
        1
        + rng.uniform(-0.5, 0.5) * t / 365
        + rng.uniform(0, 0.3) * np.sin(2 * np.pi * (t + rng.integers(7)) / 7)
        + rng.normal(0, 0.05, length)
    )
    if rng.random() < 0.5:
        spare = length - MIN_OBSERVED
        gaps = rng.choice(length, size=int(spare * rng.uniform(0, 0.2)), replace=False)
        values[gaps] = np.nan
    last_date = date(2015, 1, 1) + timedelta(days=int(rng.integers(0, 3650)))
    return Series(values.astype(np.float32), last_date if rng.random() < 2 / 3 else None)


def drawing(rng: np.random.Generator) -> list[list[list[int]]]:
    """1 to 8 strokes of 2 to 30 points, [[xs, ys], …] within 0 to 255, as the Quick, Draw! game records them."""
    strokes = []
    for _ in range(int(rng.integers(1, 9))):
        points = int(rng.integers(2, 31))
        angle = np.cumsum(rng.normal(0, 0.5, points)) + rng.uniform(0, 2 * np.pi)
        path = rng.uniform(40, 215, (2, 1)) + np.cumsum([8 * np.cos(angle), 8 * np.sin(angle)], axis=1)
        strokes.append(np.clip(path, 0, 255).astype(int).tolist())
    return strokes


def strokes(lines: list[list[list[int]]]) -> np.ndarray:
    """float32 [points, 3] of a drawing: the offset from the point before, and 1 where the pen is lifted after it."""
    points = np.concatenate([np.array(line).T for line in lines])
    lifted = np.zeros((len(points), 1))
    lifted[np.cumsum([len(line[0]) for line in lines]) - 1] = 1
    return np.hstack([np.diff(points, axis=0, prepend=points[:1]), lifted]).astype(np.float32)


def frames(rng: np.random.Generator, count: int = FRAMES, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """uint8 [count, height, width, 3]: a camera that pans over a soft random texture."""
    coarse = rng.uniform(0, 255, (2 + (height + 2 * count) // 16, 2 + (width + 2 * count) // 16, 3))
    texture = np.kron(coarse, np.ones((16, 16, 1))).astype(np.uint8)
    down, right = rng.integers(0, 3, 2)
    return np.stack([texture[down * i : down * i + height, right * i : right * i + width] for i in range(count)])


def clip(rng: np.random.Generator) -> Clip:
    """A file of one of the common kinds."""
    container_format, codec, settings, pixels, width, height, count = CLIPS[int(rng.integers(len(CLIPS)))]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=24, options=dict(settings))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for image in frames(rng, count, height, width):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    return Clip(f"clip.{container_format}", buffer.getvalue())
