"""What the forecaster is measured against: automatic statistical models, fitted anew at every origin.

A fit takes seconds, and there are thousands: what was forecast is kept in a folder, and a run that is stopped goes on
where it was.
"""

import hashlib
import os
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.forecaster.data import Series
from training.forecaster.features import HORIZON
from training.forecaster.outlook import LEVELS

FITTED = ("AutoETS", "AutoTheta", "AutoARIMA")
MEAN = "their mean"
SEASON = 7
VISIBLE = 728  # days: two years, which more would change little in what takes far longer
_WIDTHS = [20, 40, 60, 80]  # per cent inside; their ends are the quantiles 0.4, 0.3, 0.2, 0.1 and 0.6 to 0.9
_SAVE_EVERY = 10

Forecasts = np.ndarray
"""[origins, 7, 1 + 9]: the mean and the quantiles 0.1 to 0.9 of each day."""


def fitted(series: Sequence[tuple[Series, np.ndarray]], name: str, cache: Path | None = None) -> list[Forecasts]:
    """Forecasts of one of FITTED, for each series from each of its origins (positions one past the last day seen)."""
    total = sum(len(ends) for _, ends in series)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=total)
        return [_of_one(one, ends, name, cache, lambda: progress.advance(task)) for one, ends in series]


def mean_of(forecasts: Sequence[list[Forecasts]]) -> list[Forecasts]:
    """The mean of several models' forecasts, series by series."""
    return [np.mean(group, axis=0) for group in zip(*forecasts, strict=True)]


def _of_one(one: Series, ends: np.ndarray, name: str, cache: Path | None, advance: Any) -> Forecasts:
    store = None if cache is None else _Store(cache, one, name)
    made = {} if store is None else store.read()
    fresh = 0
    for end in map(int, ends):
        if end not in made:
            made[end] = forecast(one.values[max(0, end - VISIBLE) : end], name)
            fresh += 1
            if store is not None and fresh % _SAVE_EVERY == 0:
                store.write(made)
        advance()
    if store is not None and fresh:
        store.write(made)
    return np.stack([made[int(end)] for end in ends])


def forecast(past: np.ndarray, name: str) -> np.ndarray:
    """One of FITTED on the days seen: [7, 1 + 9]."""
    values = filled(past).astype("float64")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "possible convergence problem")  # it tries others, too
        made = _model(name).forecast(y=values, h=HORIZON, level=_WIDTHS)
    mean = np.asarray(made["mean"], "float64")
    below = [made[f"lo-{width}"] for width in reversed(_WIDTHS)]
    above = [made[f"hi-{width}"] for width in _WIDTHS]
    answer = np.stack([mean, *below, mean, *above], axis=-1)
    assert answer.shape[-1] == 1 + len(LEVELS)
    # A fit may fail to converge; its last value is then the forecast, as a person would have it.
    return np.where(np.isfinite(answer), answer, values[-1])


def _model(name: str) -> Any:
    from statsforecast import models  # takes seconds to import

    if name == "AutoETS":
        return models.AutoETS(season_length=SEASON)
    if name == "AutoTheta":
        return models.AutoTheta(season_length=SEASON)
    if name == "AutoARIMA":
        # Orders chosen by conditional sums of squares, as R's auto.arima does for series longer than 150.
        return models.AutoARIMA(season_length=SEASON, approximation=True)
    raise ValueError(f"Expected one of {FITTED}. Received: {name!r}")


def filled(values: np.ndarray) -> np.ndarray:
    """Gaps as the same weekday of the week before, or, before the first, as the median; these models take none."""
    values = np.array(values, "float32")
    for at in np.flatnonzero(np.isnan(values)):
        if at >= SEASON:
            values[at] = values[at - SEASON]
    return np.where(np.isnan(values), np.nanmedian(values), values)


class _Store:
    """Forecasts of one model for one series, by origin, in a file named for all that they depend on."""

    def __init__(self, folder: Path, one: Series, name: str) -> None:
        facts = f"{name} {SEASON} {VISIBLE} {HORIZON} statsforecast {version('statsforecast')} {one.first_day}"
        digest = hashlib.sha256(facts.encode() + one.values.tobytes()).hexdigest()[:16]
        self._path = folder / f"{name}-{digest}.npz"

    def read(self) -> dict[int, np.ndarray]:
        if not self._path.exists():
            return {}
        with np.load(self._path) as saved:
            return dict(zip(saved["ends"].tolist(), saved["forecasts"], strict=True))

    def write(self, made: dict[int, np.ndarray]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(f".{os.getpid()}.tmp")
        with partial.open("wb") as file:
            np.savez(file, ends=np.array(list(made)), forecasts=np.stack(list(made.values())))
        partial.replace(self._path)
