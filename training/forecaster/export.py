"""Writes the forecaster as a version that a server can load."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import saving
from training.fitting import FitOptions, FitReport
from training.forecaster import data
from training.forecaster.evaluate import score, table
from training.forecaster.features import CONTEXT, HORIZON, MEMORY
from training.forecaster.generated import SOURCE, generate
from training.forecaster.model import split

NAME = "forecaster"
GENERATED = "Series made up of seasons, trend, level shifts, holidays, gaps and noise; no licence applies."
_SAMPLE = 20  # generated series that the figures are taken from when there are no others
INPUTS = {
    "history": tf.TensorSpec([None, None], tf.float32),
    "end_day": tf.TensorSpec([None], tf.int32),
}
RULES = {
    "history": saving.InputRule(
        axis=1,
        side="left",
        value=math.nan,
        buckets=(MEMORY,),  # the graph pads to it anyway
        min_length=7,
        nan_allowed=True,
        min_observed=7,
    )
}

# Each size costs seconds of compilation, and a week is forecast for 16 series almost as fast as for 8.
BATCHING = saving.Batching(allowed_batch_sizes=(1, 4, 16, 64))


def export(
    models: Path,
    model: keras.Model,
    series: Sequence[data.Series],
    test_from: Mapping[str, data.TestFrom],
    *,
    report: FitReport,
    options: FitOptions,
    about: str | None = None,
) -> Path:
    """Write the next version of models/forecaster and return its directory.

    `about` says in the card where the series are from and under which licence; None stands for generated ones.
    """

    def core(history: tf.Tensor, end_day: tf.Tensor) -> dict[str, tf.Tensor]:
        return split(model({"history": history, "end_day": end_day}, training=False))

    measured = [one for one in series if one.source != SOURCE] or series[:_SAMPLE]
    forecast = tf.function(core, input_signature=list(INPUTS.values()))
    figures = table(score(forecast, measured, {k: v for k, v in test_from.items() if k != SOURCE}))
    return saving.export(
        models,
        NAME,
        model=model,
        core=core,
        inputs=INPUTS,
        rules=RULES,
        batching=BATCHING,
        warmup=_warmup(),
        card=_card(model, series, test_from, figures, report, options, about or GENERATED),
        facts={"architecture": "encoder_decoder", **report.facts},
    )


def _warmup() -> list[dict[str, np.ndarray]]:
    """Requests such as people send: one series of a few months, and four of three years whose dates are unknown."""
    requests = []
    for seed, (days, batch, dated) in enumerate([(CONTEXT - 12, 1, True), (MEMORY, 4, False)]):
        made = generate(batch, seed=seed, days=(days, days))
        end_day = [one.first_day + days - 1 if dated else -1 for one in made]
        requests.append({"history": np.stack([one.values for one in made]), "end_day": np.array(end_day, "int32")})
    return requests


def _card(
    model: keras.Model,
    series: Sequence[data.Series],
    test_from: Mapping[str, data.TestFrom],
    figures: str,
    report: FitReport,
    options: FitOptions,
    about: str,
) -> str:
    counts: dict[str, list[data.Series]] = {}
    for one in series:
        counts.setdefault(one.source, []).append(one)
    rows = "\n".join(
        f"| {source} | {len(group)} | {sum(data.test_start(one, test_from) for one in group):,} "
        f"| {_part(test_from.get(source, data.TEST_SHARE))} |"
        for source, group in counts.items()
    )
    return f"""# Forecaster

Forecasts the next {HORIZON} days of one daily series: the mean and nine quantiles (0.1 to 0.9) of each day.
An encoder-decoder LSTM of {model.count_params():,} parameters over features computed in the graph: the last
{CONTEXT} days week by week, and what the same holidays and seasons brought up to three years back.

## Input and output

- `history` float32 [batch, time]: oldest first, NaN is missing, at least 7 values, at most {MEMORY} days.
- `end_day` int32 [batch]: days from 1970-01-01 to the last value; -1 if unknown, at the cost of calendar and holidays,
  as is a day after 2099.
- `mean` float32 [batch, {HORIZON}], `quantiles` float32 [batch, {HORIZON}, 9]: in the units of the history.

## Data

| file | series | days before the test part | test part |
|---|---|---|---|
{rows}

Validation: the last tenth before the test part, or half a year if that is less. Nothing from a test part was seen.
{about}

## Errors on the test parts

Forecasts from every day whose next seven lie in the test part, beside the value seven days earlier (seasonal naive).
MASE and the scaled pinball loss are in units of the mean week-to-week change of the days before the test part.

{figures}

## Training

Seed {options.seed}; {len(report.history)} epochs, of which number {report.best_epoch + 1} was kept;
validation loss {report.best["val_loss"]:.4f} (pinball and Huber, in units of the series' week-to-week change).
Keras {keras.__version__}, TensorFlow {tf.__version__}, float32.

## Good for

Daily counts and sums with a weekly pattern: passengers, withdrawals, sales, visits; gaps and level shifts; holidays
that the history has seen once at least, given `end_day` and more than a year of history.

## Not good for

Hourly or monthly values; series that are zero on most days; more than {HORIZON} days ahead; events that nothing in
the history announces (weather, strikes); anything where an interval must hold exactly: check the coverage first.
Values may come out below zero.
"""


def _part(test_from: data.TestFrom) -> str:
    if isinstance(test_from, float):
        return f"last {test_from:.0%}"
    return f"last {test_from} days" if isinstance(test_from, int) else f"from {test_from}"
