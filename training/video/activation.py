"""What a classifier answers as a window slides over a longer clip, frame by frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.datasets.clip_store import FRAMES, Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIDE = 2


@dataclass(frozen=True)
class Activation:
    """Probabilities over time: middles [windows], in frames; probabilities [windows, classes]; cuts between parts."""

    frames: Frames
    middles: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    cuts: tuple[int, ...]
    names: tuple[str, ...]


def activation(
    classify: Callable[[Frames], NDArray[np.float32]], parts: Sequence[Frames], names: Sequence[str]
) -> Activation:
    """Cut several clips [frames, side, side, 3] together, and classify every window of sixteen frames of the whole."""
    frames = np.concatenate(parts)
    if len(frames) < FRAMES:
        raise ValueError(f"expected {FRAMES} or more frames. Received: {len(frames)}")
    starts = np.arange(0, len(frames) - FRAMES + 1, STRIDE)
    probabilities = np.concatenate([classify(frames[start : start + FRAMES][None]) for start in starts])
    cuts = tuple(int(cut) for cut in np.cumsum([len(part) for part in parts])[:-1])
    return Activation(frames, starts + (FRAMES - 1) / 2, probabilities, cuts, tuple(names))


def draw(found: Activation, classes: Sequence[str], *, shown: int = 12) -> "Figure":
    """Draw a strip of frames, and below it the probability of each class that ever leads."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    strip, curves = figure.subplots(2, 1, height_ratios=[1, 2.2], sharex=True)
    last = len(found.frames) - 1
    width = last / shown
    for place in range(shown):
        middle = (place + 0.5) * width
        edges = (middle - 0.46 * width, middle + 0.46 * width, 0.0, 1.0)
        strip.imshow(found.frames[round(middle)][::2, ::2], extent=edges, aspect="auto")
    strip.set(xlim=(0, last), ylim=(0, 1), yticks=[], title=", then ".join(found.names))
    for label in sorted(set(found.probabilities.argmax(axis=1))):
        curves.plot(found.middles, found.probabilities[:, label], marker=".", label=classes[label])
    for cut in found.cuts:
        curves.axvline(cut - 0.5, color="grey", linestyle=":")
    curves.set(ylim=(-0.02, 1.02), xlabel="frame in the middle of the window", ylabel="probability")
    curves.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    return figure
