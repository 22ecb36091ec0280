"""The model card of a forecaster."""

from collections.abc import Mapping, Sequence

import keras

from training.fitting import FitOptions, FitReport
from training.forecaster import data
from training.forecaster.features import CONTEXT, HORIZON, MEMORY

_ARCHITECTURES = {
    "weekly": "An encoder-decoder of weeks and days over features computed in the graph: the last sixteen weeks, what "
    "the same holidays and seasons brought up to three years back, what kind of series it is, what simple methods say.",
    "lstm": "LSTM 64, LSTM 32 and a dense layer on the last ten days, on top of the usual week.",
    "encoder_decoder": "Sequence to sequence: sixteen weeks read day by day, seven days emitted one by one.",
    "conv_gru": "Two strided convolutions and a GRU over sixteen weeks of days.",
    "seasonal_naive": "Each day as the last one seen of its weekday; quantiles from past changes. Nothing is trained.",
}


def card(
    model: keras.Model,
    series: Sequence[data.Series],
    test_from: Mapping[str, data.TestFrom],
    *,
    figures: str,
    report: FitReport,
    options: FitOptions,
    about: str,
    left_out: Sequence[str],
) -> str:
    """The card as Markdown; `figures` is the table of errors on the test parts."""
    counts: dict[str, list[data.Series]] = {}
    for one in series:
        counts.setdefault(one.source, []).append(one)
    rows = "\n".join(
        f"| {source} | {len(group)} | {sum(data.test_start(one, test_from) for one in group):,} "
        f"| {_part(test_from.get(source, data.TEST_SHARE))} | {'yes' if group[0].holidays is not None else 'no'} |"
        for source, group in counts.items()
    )
    kept_out = f"Kept out of training altogether: {', '.join(left_out)}.\n" if left_out else ""
    architecture = report.facts.get("architecture", "")
    narrower, wider = (float(width) for width in model.get_layer("outlook").widths.value.numpy())
    return f"""# Forecaster

Forecasts the next {HORIZON} days of one daily series: the mean and nine quantiles (0.1 to 0.9) of each day.
Architecture `{architecture}`, {model.count_params():,} parameters. {_ARCHITECTURES.get(architecture, "")}

## Input and output

- `history` float32 [batch, time]: oldest first, NaN is missing, at least 7 values, at most {MEMORY} days.
- `end_day` int32 [batch]: days from 1970-01-01 to the last value; -1 if unknown, at the cost of calendar and holidays,
  as is a day after 2099.
- `holidays` float32 [batch, time + {HORIZON}], of the signature `with_holidays` only: 1 on public holidays of the
  history and of the {HORIZON} days after it, 0 on other days; aligned to its end, and padded with 0 on the left.
- `mean` float32 [batch, {HORIZON}], `quantiles` float32 [batch, {HORIZON}, 9]: in the units of the history.

## Data

| file | series | days before the test part | test part | holidays known |
|---|---|---|---|---|
{rows}

Validation: the last tenth before the test part, or half a year if that is less. Nothing from a test part was seen.
{kept_out}{about}

## Errors on the test parts

Forecasts from every day whose next seven lie in the test part, beside the value seven days earlier (seasonal naive),
without holidays given. MASE and the scaled pinball loss are in units of the mean week-to-week change of the days before
the test part.

{figures}

## Training

Seed {options.seed}; {len(report.history)} epochs, of which number {report.best_epoch + 1} was kept;
validation loss {report.best["val_loss"]:.4f} (pinball and Huber, in units of the series' week-to-week change; the last
{CONTEXT} days set the unit). Calibrated on the median month of the year before the test parts: the distances of the
quantiles from the median were multiplied by {narrower:.2f} below it and {wider:.2f} above.
Keras {keras.__version__}, float32.

## Good for

Daily counts and sums with a weekly pattern: passengers, withdrawals, sales, visits; gaps and level shifts; holidays
that the history has seen once at least, given `end_day` and more than a year of history, or the flags.

## Not good for

Hourly or monthly values; series that are zero on most days; more than {HORIZON} days ahead; events that nothing in
the history announces (weather, strikes); anything where an interval must hold exactly: check the coverage first.
Values may come out below zero.
"""


def _part(test_from: data.TestFrom) -> str:
    if isinstance(test_from, float):
        return f"last {test_from:.0%}"
    return f"last {test_from} days" if isinstance(test_from, int) else f"from {test_from}"
