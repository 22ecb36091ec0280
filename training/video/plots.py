"""Plots of a comparison: learning curves, and what a classifier answers as time goes by."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.video.activation import activation, draw
from training.video.comparison import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = 3


def draw_all(results: Sequence[Result]) -> dict[str, tuple[str, "Figure"]]:
    """Draw everything: for each plot's name, what it shows, and the plot."""
    plots = {}
    curves = draw_curves(results)
    if curves is not None:
        plots["curves"] = ("Accuracy on the validation clips after each epoch", curves)
    for place, result in enumerate(_best_of_each_test(results)):
        shown = f"What {result.architecture} answers on {result.test}, as a window slides over clips cut together"
        plots[f"activation-{place + 1}"] = (shown, draw_activation(result))
    return plots


def draw_curves(results: Sequence[Result]) -> "Figure | None":
    """Draw accuracy on the validation clips by epoch, a panel for each set of classes; None if there is none."""
    from matplotlib.figure import Figure

    panels: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in results:
        if any("history" in model.facts for model in result.models):
            panels.setdefault(result.clips.classes, {}).setdefault(result.architecture, result)
    if not panels:
        return None
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, group in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.values(), strict=True):
        for place, (name, result) in enumerate(group.items()):
            for number, model in enumerate(result.models):
                scores = [row["val_accuracy"] for row in model.facts.get("history", [])]
                label = name if number == 0 else None
                axes.plot(range(1, len(scores) + 1), scores, color=f"C{place}", linewidth=1, label=label)
        axes.set(xlabel="epoch", ylabel="accuracy on valid", ylim=(0, 1.02), title=next(iter(group.values())).test)
        axes.legend(fontsize="small")
    return figure


def draw_activation(result: Result, *, seed: int = 1) -> "Figure":
    """Cut clips of different classes together, and draw the probabilities over the whole."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.unique(result.clips.labels))[:PARTS]
    chosen = [int(rng.choice(np.flatnonzero(result.clips.labels == label))) for label in labels]
    found = activation(
        result.models[0].classify,
        [result.clips.frames[index] for index in chosen],
        [result.clips.classes[label] for label in labels],
    )
    return draw(found, result.clips.classes)


def _best_of_each_test(results: Sequence[Result]) -> list[Result]:
    best: dict[str, Result] = {}
    for result in results:
        if result.test not in best or np.mean(result.shares) > np.mean(best[result.test].shares):
            best[result.test] = result
    return list(best.values())
