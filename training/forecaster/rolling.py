"""Forecasts from rolling origins, with only the past in sight, and how far off they were."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.forecaster import data
from training.forecaster.features import HORIZON
from training.forecaster.outlook import LEVELS

Forecaster = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Takes history [batch, MEMORY], end_day [batch] and holidays [batch, MEMORY + 7]; answers [batch, 7, 1 + 9]."""

OUTER = 0.8  # the share of days that the outermost quantiles hold
_BATCH = 64
_FEW = 5  # series in one file that get a line each


@dataclass(frozen=True, kw_only=True)
class Group:
    """What one line of a comparison is about: one series, or all those of a file, and where to forecast from.

    origins: for each series, positions one past the last day that a forecast may see.
    """

    name: str
    spans: Sequence[data.Span]
    origins: Sequence[np.ndarray]
    every: int

    @property
    def count(self) -> int:
        return sum(map(len, self.origins))

    def pairs(self) -> list[tuple[data.Series, np.ndarray]]:
        return [(span.series, ends) for span, ends in zip(self.spans, self.origins, strict=True)]

    def targets(self) -> list[np.ndarray]:
        """What came: [origins, 7] for each series."""
        return [np.stack([one.values[end : end + HORIZON] for end in ends]) for one, ends in self.pairs()]

    def units(self) -> np.ndarray:
        """The mean change from week to week before the test part, the unit of MASE; NaN where there is none."""
        seen = [span.series.values[: span.start] for span in self.spans]
        return np.array([float(np.nanmean(np.abs(past[7:] - past[:-7]))) or np.nan for past in seen])


def groups(
    series: Sequence[data.Series], test_from: Mapping[str, data.TestFrom], every: Mapping[str, int] | None = None
) -> list[Group]:
    """The test parts: a group a series, or one for a file of many. `every` thins out the origins of files, by name.

    Raises DataError for the name of another file.
    """
    if unknown := sorted(set(every or {}) - {one.source for one in series}):
        raise data.DataError(f"expected the names of files to thin out the origins of. Received: {unknown}")
    _, _, spans = data.split(series, test_from)
    by_file: dict[str, list[data.Span]] = {}
    for span in spans:
        by_file.setdefault(span.series.source, []).append(span)
    found = []
    for source, several in by_file.items():
        step = (every or {}).get(source, 1)
        parts = {one.series.name: [one] for one in several}
        if len(several) > _FEW:
            parts = {f"{source} ({len(several)} series)": several}
        found += [
            Group(name=name, spans=part, origins=[data.ends(span)[::step] for span in part], every=step)
            for name, part in parts.items()
        ]
    return found


def forecasts(forecaster: Forecaster, group: Group) -> list[np.ndarray]:
    """[origins, 7, 1 + 9] for each series of a group."""
    return [
        np.concatenate([_at(forecaster, one, ends[at : at + _BATCH]) for at in range(0, len(ends), _BATCH)])
        for one, ends in group.pairs()
    ]


def _at(forecaster: Forecaster, one: data.Series, ends: np.ndarray) -> np.ndarray:
    inputs, _ = data.batch([data.window(one, int(end)) for end in ends])
    return forecaster(inputs)


def naive(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every day and every quantile as the last value seen of the same weekday."""
    history = inputs["history"]
    weeks = history.reshape(len(history), -1, HORIZON)
    last = weeks[:, -1].copy()
    for week in range(2, weeks.shape[1] + 1):
        last = np.where(np.isnan(last), weeks[:, -week], last)
    return np.repeat(last[..., None], 1 + len(LEVELS), axis=-1)


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far off one method was on one group: [series, origins, 7], NaN where nothing is known.

    absolute: of the mean, in units of the series. pinball [..., 9]: of each quantile, likewise. below [..., 9]: whether
    the day came out below the quantile. units [series, 1, 1]: see Group.units.
    """

    absolute: np.ndarray
    pinball: np.ndarray
    below: np.ndarray
    units: np.ndarray

    @classmethod
    def of(cls, group: Group, made: Sequence[np.ndarray]) -> "Errors":
        actual, predicted = aligned(group.targets(), np.nan), aligned(made, np.nan)
        quantiles = predicted[..., 1:]
        error = actual[..., None] - quantiles
        levels = np.array(LEVELS)
        return cls(
            absolute=np.abs(actual - predicted[..., 0]),
            pinball=np.maximum(levels * error, (levels - 1) * error),
            below=np.where(np.isnan(error), np.nan, error < 0),
            units=group.units()[:, None, None],
        )

    @property
    def mae(self) -> float:
        return _mean(self.absolute)

    @property
    def mase(self) -> float:
        return _mean(self.absolute / self.units)

    @property
    def scaled_pinball(self) -> float:
        return _mean(self.pinball / self.units[..., None])

    @property
    def coverage(self) -> float:
        """Share of days from the 0.1 to the 0.9 quantile."""
        return _mean(np.where(np.isnan(self.below[..., 0]), np.nan, self.below[..., -1] - self.below[..., 0]))

    def by_level(self) -> list[tuple[float, float]]:
        """For each level: the share of days below it, and its pinball loss in units of the week-to-week change."""
        scaled = self.pinball / self.units[..., None]
        return [(_mean(self.below[..., k]), _mean(scaled[..., k])) for k in range(len(LEVELS))]

    def by_origin(self) -> np.ndarray:
        """Mean absolute error of each origin, over days and series: [origins]."""
        return _nanmean(self.absolute, (0, 2))

    def scaled_by_origin(self) -> np.ndarray:
        """The same in units of the week-to-week change."""
        return _nanmean(self.absolute / self.units, (0, 2))


def aligned(parts: Sequence[np.ndarray], fill: Any) -> np.ndarray:
    """Arrays [origins, ...] of several series as one, [series, most origins, ...], by their last origins.

    In front of those of a series that has fewer stands `fill`.
    """
    most = max(map(len, parts))
    return np.stack(
        [np.pad(part, ((most - len(part), 0), *[(0, 0)] * (part.ndim - 1)), constant_values=fill) for part in parts]
    )


def _mean(values: np.ndarray) -> float:
    """The mean over days, then over series, so that gaps do not change what a series counts."""
    each = [float(np.nanmean(one)) if np.isfinite(one).any() else np.nan for one in values]
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def _nanmean(values: np.ndarray, axes: Any) -> np.ndarray:
    there = np.isfinite(values)
    count = there.sum(axis=axes)
    return np.where(count > 0, np.where(there, values, 0.0).sum(axis=axes) / np.maximum(count, 1), np.nan)
