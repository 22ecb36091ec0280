"""Measures an exported forecaster on the test parts, from rolling origins, beside the seasonal naive forecast."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tensorflow as tf
import typer

from training.forecaster import data
from training.forecaster.features import HORIZON
from training.forecaster.model import LEVELS
from training.forecaster.train import parse_split

Forecast = Callable[..., Mapping[str, tf.Tensor]]
"""Takes `history` and `end_day`, answers `mean` and `quantiles`, all as the exported signature does."""

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Score:
    """Errors of one series, averaged over every origin and day.

    `mase`, `naive_mase` and `pinball` are in units of the mean change from week to week before the test part.
    """

    name: str
    origins: int
    mae: float
    median_mae: float
    naive_mae: float
    mase: float
    naive_mase: float
    pinball: float
    coverage: float


def evaluate(
    folder: Annotated[Path, typer.Option("--data", help="CSV file, or folder of them.")],
    model: Annotated[Path, typer.Option(help="Version directory, such as models/forecaster/1.")],
    column: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
    undated: Annotated[bool, typer.Option("--undated", help="Keep the dates from the model.")] = False,
) -> None:
    """Print MAE, MASE, pinball loss and coverage of the 80% interval on the test part of every file."""
    forecast = tf.saved_model.load(str(model)).signatures["serving_default"]

    def answer(history: tf.Tensor, end_day: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return forecast(history=history, end_day=-tf.ones_like(end_day) if undated else end_day)

    typer.echo(table(score(answer, data.read(folder, column), parse_split(split or []))))


def score(
    forecast: Forecast, series: Sequence[data.Series], test_from: Mapping[str, data.TestFrom]
) -> dict[str, list[Score]]:
    """Scores of every series on its test part, by the file it came from."""
    _, _, spans = data.split(series, test_from)
    scores: dict[str, list[Score]] = {}
    for span in spans:
        parts = [_errors(forecast, span, at) for at in _batches(data.ends(span))]
        scores.setdefault(span.series.source, []).append(_summarise(span, parts))
    return scores


def _batches(ends: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(ends), _BATCH):
        yield ends[start : start + _BATCH]


def _errors(forecast: Forecast, span: data.Span, at: np.ndarray) -> np.ndarray:
    """Absolute errors of mean, median and naive, pinball loss, and inside or not: [origins, 7, 5]; NaN unseen."""
    windows = [data.window(span.series, int(end)) for end in at]
    history = np.stack([history for history, _, _ in windows])
    end_day = np.array([day for _, day, _ in windows], "int32")
    actual = np.stack([targets for _, _, targets in windows])
    answer = forecast(history=tf.constant(history), end_day=tf.constant(end_day))
    mean, quantiles = answer["mean"].numpy(), answer["quantiles"].numpy()
    error = actual[..., None] - quantiles
    levels = np.array(LEVELS)
    inside = (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])
    return np.stack(
        [
            np.abs(actual - mean),
            np.abs(error[..., len(LEVELS) // 2]),
            np.abs(actual - _naive(history)),
            np.maximum(levels * error, (levels - 1) * error).mean(axis=-1),
            np.where(np.isnan(actual), np.nan, inside),
        ],
        axis=-1,
    )


def _naive(history: np.ndarray) -> np.ndarray:
    """Every day as the last one seen of the same weekday."""
    weeks = history.reshape(len(history), -1, HORIZON)
    last = weeks[:, -1].copy()
    for week in range(2, weeks.shape[1] + 1):
        last = np.where(np.isnan(last), weeks[:, -week], last)
    return last


def _summarise(span: data.Span, parts: Sequence[np.ndarray]) -> Score:
    errors = np.concatenate(parts)
    mae, median_mae, naive_mae, pinball, coverage = np.nanmean(errors, axis=(0, 1))
    seen = span.series.values[: span.start]
    unit = float(np.nanmean(np.abs(seen[7:] - seen[:-7]))) or math.nan  # every week may be like the one before
    return Score(
        name=span.series.name,
        origins=len(errors),
        mae=float(mae),
        median_mae=float(median_mae),
        naive_mae=float(naive_mae),
        mase=float(mae) / unit,
        naive_mase=float(naive_mae) / unit,
        pinball=float(pinball) / unit,
        coverage=float(coverage),
    )


def table(scores: Mapping[str, Sequence[Score]]) -> str:
    """A Markdown table: a row a series, or a row of means for a file of many."""
    lines = [
        "| series | origins | MAE | MAE of the median | seasonal naive MAE | MASE | seasonal naive MASE "
        "| scaled pinball loss | 80% coverage |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for source, group in scores.items():
        rows = group if len(group) <= 5 else [_mean(f"{source} ({len(group)} series)", group)]
        lines += [
            f"| {one.name} | {one.origins} | {one.mae:,.5g} | {one.median_mae:,.5g} | {one.naive_mae:,.5g} "
            f"| {one.mase:.3f} | {one.naive_mase:.3f} | {one.pinball:.3f} | {one.coverage:.1%} |"
            for one in rows
        ]
    return "\n".join(lines)


def _mean(name: str, group: Sequence[Score]) -> Score:
    fields = [field for field in Score.__dataclass_fields__ if field not in ("name", "origins")]
    means = {field: float(np.mean([getattr(one, field) for one in group])) for field in fields}
    return Score(name=name, origins=sum(one.origins for one in group), **means)
