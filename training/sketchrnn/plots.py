"""Pictures of how well a classifier does: per class, over the epochs, and what it takes for what."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.sketchrnn.data import Drawings
from training.sketchrnn.mistakes import confused, hardest_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 3
ENDS = 15  # classes named at either end


def draw_confused(classes: Sequence[str], drawings: Drawings, predicted: np.ndarray) -> "Figure":
    """For each of the commonest mistakes a column of drawings that were so mistaken."""
    from matplotlib.figure import Figure

    pairs = confused(predicted, drawings.labels)
    figure = Figure(figsize=(1.5 * max(len(pairs), 1), 1.6 * EXAMPLES), layout="constrained")
    grid = figure.subplots(EXAMPLES, max(len(pairs), 1), squeeze=False)
    for column, (label, taken, often) in enumerate(pairs):
        of = int((drawings.labels == label).sum())
        grid[0, column].set_title(f"{classes[label]}\n→ {classes[taken]}\n{often} of {of}", fontsize=7)
        found = np.flatnonzero((drawings.labels == label) & (predicted == taken))
        for row, i in enumerate(found[:EXAMPLES]):
            draw_ink(grid[row, column], drawings[i])
    for axes in grid.flat:
        axes.axis("off")
    return figure


def draw_ink(axes: "Axes", drawing: np.ndarray) -> None:
    """The lines of one drawing [points, 3]; y grows downwards."""
    places = np.concatenate([np.zeros((1, 2)), np.cumsum(drawing[:, :2], axis=0)])
    ends = np.flatnonzero(drawing[:, 2] > 0.5) + 2
    for stroke in np.split(places, ends):
        # Between strokes the pen moves unseen: a stroke begins where that move ended.
        axes.plot(stroke[:, 0], -stroke[:, 1], color="black", linewidth=0.9)
    axes.set_aspect("equal", adjustable="datalim")


def draw_classes(classes: Sequence[str], right: np.ndarray, labels: np.ndarray) -> "Figure":
    """The share of right answers of every class in order, and the names at both ends."""
    from matplotlib.figure import Figure

    found = hardest_classes(right, labels)
    ends = found if len(found) <= 2 * ENDS else [*found[:ENDS], *found[-ENDS:]]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    whole, named = figure.subplots(1, 2)
    whole.plot(range(1, len(found) + 1), [100 * share for _, share in found])
    whole.set(title="every class, worst first", xlabel="classes", ylabel="right answers, %", ylim=(0, 102))
    whole.grid(alpha=0.3)
    named.barh([classes[label] for label, _ in ends], [100 * share for _, share in ends])
    named.set(title="the hardest and the easiest", xlabel="right answers, %")
    named.tick_params(axis="y", labelsize=6)
    return figure


def draw_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure | None":
    """Accuracy over the epochs of each named fit: on the training drawings as varied (thin), and on `valid`.

    None where no fit has a history.
    """
    from matplotlib.figure import Figure

    histories = {name: history for name, history in histories.items() if history}
    if not histories:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, history in histories.items():
        epochs = range(1, len(history) + 1)
        (line,) = axes.plot(epochs, [100 * row["val_accuracy"] for row in history], label=name)
        axes.plot(epochs, [100 * row["accuracy"] for row in history], color=line.get_color(), linewidth=0.7, ls="--")
    axes.set(xlabel="epoch", ylabel="right answers, % (dashed: training, varied)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
