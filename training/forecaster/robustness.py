"""How much a forecast suffers from what happens to real series: gaps, a new level, other units."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.forecaster import rolling
from training.forecaster.data import Series
from training.forecaster.features import HORIZON

_SHIFT_DAYS, _SHIFT = 14, 1.5
_MISSING = 0.2

Change = Callable[[Series, int], Series]
"""Gives a series as it would have come, up to and including the week after a position."""


def unchanged(one: Series, end: int) -> Series:  # noqa: ARG001
    return one


def gaps(one: Series, end: int) -> Series:
    """A fifth of the days seen are missing, the same ones at every run."""
    rng = np.random.default_rng([end, len(one)])
    values = one.values.copy()
    values[:end][rng.random(end) < _MISSING] = np.nan
    return replace(one, values=values)


def level_shift(one: Series, end: int) -> Series:
    """Two weeks before the origin everything begins to be half as much again."""
    values = one.values.copy()
    values[max(0, end - _SHIFT_DAYS) :] *= _SHIFT
    return replace(one, values=values)


def thousandfold(one: Series, end: int) -> Series:  # noqa: ARG001
    return replace(one, values=one.values * np.float32(1000))


def offset(one: Series, end: int) -> Series:
    """Ten times the usual value stands under everything."""
    return replace(one, values=one.values + np.float32(10 * np.nanmean(np.abs(one.values[:end]))))


CHANGES: dict[str, Change] = {
    "as it is": unchanged,
    "20% of days missing": gaps,
    "level x 1.5 for two weeks": level_shift,
    "units x 1000": thousandfold,
    "offset of 10 means": offset,
}


def errors(forecaster: rolling.Forecaster, group: rolling.Group, change: Change) -> float:
    """Mean absolute error after a change, in units of the mean week-to-week change that the series has after it.

    A level shift's unit is that of the series before it, times the shift.
    """
    shares = []
    for (one, ends), unit in zip(group.pairs(), group.units(), strict=True):
        for end in map(int, ends):
            made = change(one, end)
            factor = _factor(one, made, end)
            few = rolling.Group(
                name=group.name,
                spans=[replace(group.spans[0], series=made, start=end, stop=len(made))],
                origins=[np.array([end])],
                every=1,
            )
            (forecast,) = rolling.forecasts(forecaster, few)
            actual = made.values[end : end + HORIZON]
            if np.isfinite(actual).any():
                shares.append(float(np.nanmean(np.abs(actual - forecast[0, :, 0]))) / (unit * factor))
    return float(np.nanmean(shares))


def _factor(one: Series, made: Series, end: int) -> float:
    """By how much differences between days have grown after the origin."""
    before, after = (np.abs(np.diff(series.values[end : end + HORIZON].astype(float))) for series in (one, made))
    return float(np.nansum(after) / total) if (total := np.nansum(before)) > 0 else 1.0
