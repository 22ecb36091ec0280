"""Sheets of samples: what a prepared dataset holds, to look at."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.datasets import prepared, prepared_clips
from training.datasets.decoding import Encoded, decode_clip, decode_jpegs
from training.datasets.series import EPOCH, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAMES, _SIDE = 8, 96


def draw(version: Path, target: Path) -> None:
    """Draw some examples of a prepared dataset as a PNG file."""
    made = _SHEETS[prepared.about(version)["name"]](version)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(target, dpi=100)


def _sketches(version: Path) -> "Figure":
    figure, panels = _panels(5, 8, 1.2)
    classes = prepared.labels(version)
    for axes, example in zip(panels, _some(version, "train", len(panels)), strict=False):
        strokes = example["strokes"]
        places = np.cumsum(strokes[:, :2], axis=0)
        for stroke in np.split(places, np.flatnonzero(strokes[:-1, 2]) + 1):
            axes.plot(stroke[:, 0], stroke[:, 1], color="black", linewidth=1)
        axes.set_aspect("equal", adjustable="datalim")
        axes.invert_yaxis()
        axes.set_title(classes[example["label"]], fontsize=7)
    return figure


def _bitmaps(version: Path) -> "Figure":
    figure, panels = _panels(5, 8, 1.2)
    classes = prepared.labels(version)
    for axes, example in zip(panels, _some(version, "train", len(panels)), strict=False):
        axes.imshow(255 - example["image"][..., 0], cmap="grey", vmin=0, vmax=255)
        axes.set_title(classes[example["label"]], fontsize=7)
    return figure


def _series(version: Path) -> "Figure":
    series = read(version)
    chosen = [series[i] for i in np.unique(np.linspace(0, len(series) - 1, 12).astype(int))]
    figure, panels = _panels(-(-len(chosen) // 2), 2, (6.0, 1.6))
    for axes, one in zip(panels, chosen, strict=False):
        axes.set_axis_on()
        axes.plot(EPOCH + one.first_day + np.arange(len(one)), one.values, linewidth=0.6)
        missing = float(np.isnan(one.values).mean())
        axes.set_title(f"{one.name}: {len(one)} days, {missing:.1%} missing", fontsize=7)
        axes.tick_params(labelsize=6)
    return figure


def _clips(version: Path) -> "Figure":
    figure, panels = _panels(8, _FRAMES, 1.1)
    classes = prepared.labels(version)
    shown = islice(_decoded(version), len(panels) // _FRAMES)
    for row, (frames, label) in enumerate(shown):
        for place, frame in enumerate(frames):
            panels[row * _FRAMES + place].imshow(frame)
        panels[row * _FRAMES].set_title(classes[label], fontsize=7, loc="left")
    return figure


def _decoded(version: Path) -> Iterator[tuple[np.ndarray, int]]:
    for clip, label in prepared_clips.encoded(version, "train"):
        if isinstance(clip, Encoded):
            yield decode_clip(clip, _FRAMES, _SIDE), label
        else:
            frames = decode_jpegs(clip, _SIDE)
            yield frames[:: len(frames) // _FRAMES], label


def _some(version: Path, split: str, count: int) -> Iterator[dict[str, Any]]:
    """The first examples, which are any: records are shuffled as they are written."""
    yield from prepared.examples(version, split).take(count).as_numpy_iterator()


def _panels(rows: int, columns: int, size: float | tuple[float, float]) -> "tuple[Figure, Sequence[Axes]]":
    from matplotlib.figure import Figure

    width, height = size if isinstance(size, tuple) else (size, size)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    panels = [axes for row in figure.subplots(rows, columns, squeeze=False) for axes in row]
    for axes in panels:
        axes.set_axis_off()
    return figure, panels


_SHEETS = {
    "sketch_rnn": _sketches,
    "quickdraw_bitmap": _bitmaps,
    "daily_series": _series,
    "labelled_clips": _clips,
    "ucf101": _clips,
}
