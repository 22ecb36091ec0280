"""Pictures of forecasts: fans, calibration, learning curves."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from training.forecaster.data import EPOCH, Series
from training.forecaster.features import HORIZON
from training.forecaster.outlook import LEVELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEFORE = 28  # days of history beside a fan


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple["Figure", Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def fans(examples: Sequence[tuple[Series, int, np.ndarray]]) -> "Figure":
    """Series, origin and forecast [7, 1 + 9] of a few examples: what was known, what was expected and what came."""
    rows = -(-len(examples) // 2)
    figure, axes = _figure(9, 2.4 * rows, rows, 2)
    for axis, (one, end, made) in zip(axes, examples, strict=False):
        days = [(EPOCH + one.first_day + at).astype(object) for at in range(end - _BEFORE, end + HORIZON)]
        axis.plot(days, one.values[end - _BEFORE : end + HORIZON], color="black", linewidth=1, label="came")
        ahead = days[-HORIZON:]
        for outer in range(len(LEVELS) // 2):
            axis.fill_between(
                ahead, made[:, 1 + outer], made[:, len(LEVELS) - outer], color="tab:blue", alpha=0.18, linewidth=0
            )
        axis.plot(ahead, made[:, 0], color="tab:blue", linewidth=1.5, label="mean")
        axis.axvline(ahead[0] - timedelta(hours=12), color="grey", linewidth=0.5)
        axis.set_title(f"{one.name}, from {ahead[0]}", fontsize=8)
        axis.tick_params(labelsize=6)
        axis.tick_params(axis="x", rotation=20)
    for axis in axes[len(examples) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize=6)
    return figure


def calibration(shares: Mapping[str, Sequence[float]]) -> "Figure":
    """The share of days below each quantile, by group, beside what it should be."""
    figure, axes = _figure(4.5, 4)
    axes[0].plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, found in shares.items():
        axes[0].plot(LEVELS, found, marker="o", markersize=3, linewidth=1, label=name)
    axes[0].set_xlabel("level")
    axes[0].set_ylabel("share of days below")
    axes[0].legend(fontsize=6)
    return figure


def curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """Loss by epoch, on training windows (thin) and on validation (thick), of each model."""
    figure, axes = _figure(6, 3.5)
    for number, (name, history) in enumerate(histories.items()):
        colour = f"C{number % 10}"
        epochs = range(1, len(history) + 1)
        axes[0].plot(epochs, [row["val_loss"] for row in history], color=colour, linewidth=1.5, label=name)
        axes[0].plot(epochs, [row["loss"] for row in history], color=colour, linewidth=0.6)
    axes[0].set_xlabel("epoch")
    axes[0].set_ylabel("loss")
    axes[0].legend(fontsize=6)
    return figure
