"""Daily series: from a caller's values to the forecaster's inputs, and from its outputs to forecasts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from seqserve_client._exceptions import BadAnswer, InvalidInput
from seqserve_client._holidays import Place
from seqserve_client._results import LEVELS, Forecast, InferResult
from seqserve_client._tensors import Array

if TYPE_CHECKING:
    import pandas as pd

Values = Sequence[float | None] | Array
Day = date | str | np.datetime64

_EPOCH = date(1970, 1, 1)
_FIRST, _LAST = date(1900, 1, 1), date(2200, 12, 31)
_UNKNOWN_DAY = -1
_MOST_FLAGGED = 3653  # days: ten years, more than a forecaster looks back
HORIZON = 7


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """One series as the forecaster takes it: float32 [time], oldest first, NaN for a missing day."""

    values: Array
    last_date: date | None


def history_of_values(values: Values, last_date: Day | None, name: str = "values") -> History:
    """The history of plain numbers, None or NaN where a day is missing."""
    if isinstance(values, str | bytes | Mapping):
        raise InvalidInput(f"{name}: expected a list of numbers. Received: {type(values).__name__}")
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"{name}: expected numbers, with None or NaN where a day is missing. Received: {values!r:.80}"
        ) from None
    if array.ndim != 1 or array.size == 0:
        raise InvalidInput(f"{name}: expected a flat list of at least one number. Received: shape {list(array.shape)}")
    with np.errstate(over="ignore"):
        history = array.astype(np.float32)
    if np.isinf(history).any():
        at = int(np.flatnonzero(np.isinf(history))[0])
        raise InvalidInput(f"{name}: expected finite float32 numbers or NaN. Received: {array[at]} at {at}")
    return History(history, None if last_date is None else day_of(last_date))


def day_of(value: object) -> date:
    """A date from a date, a datetime, an ISO 8601 string or a numpy datetime64."""
    day: object = value
    try:
        if isinstance(day, np.datetime64):
            day = day.astype("datetime64[D]").item()
        if isinstance(day, str):
            day = date.fromisoformat(day)
        if isinstance(day, datetime):
            day = day.date()
    except ValueError:
        day = None
    # pandas.NaT passes for a datetime, but its date() is no date.
    if type(day) is not date or not _FIRST <= day <= _LAST:
        raise InvalidInput(f"last_date: expected a date from {_FIRST} to {_LAST}. Received: {value!r}")
    return day


def is_series(values: object) -> bool:
    """Whether this is a pandas Series; pandas is not imported for the question."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.Series)


def is_frame(values: object) -> bool:
    """Whether this is a pandas DataFrame; pandas is not imported for the question."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.DataFrame)


def history_of_series(series: "pd.Series[Any]", last_date: Day | None) -> History:
    """The history of a pandas Series.

    With a DatetimeIndex or a daily PeriodIndex the days come from the index, in any order, and days that are
    not in it become NaN; `last_date` must then be None. With any other index the values are taken in order.
    Raises InvalidInput for a time of day, a day that comes twice, or a spacing that is not daily.
    """
    import pandas as pd

    name = "series" if series.name is None else str(series.name)
    try:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}: expected numbers. Received: {series.dtype}") from None
    index = series.index
    if isinstance(index, pd.PeriodIndex):
        if index.freqstr != "D":
            raise InvalidInput(f"{name}: expected a daily index. Received: frequency {index.freqstr!r}")
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        return history_of_values(values, last_date, name)
    if last_date is not None:
        raise InvalidInput(f"{name}: expected no last_date beside an index of dates. Received: {last_date!r}")
    return _on_days(name, index, values)


def _on_days(name: str, index: "pd.DatetimeIndex", values: Array) -> History:
    if index.size == 0 or index.hasnans:
        raise InvalidInput(f"{name}: expected an index of dates. Received: {index.size} with some missing or none")
    local = index.tz_localize(None)
    if (local != local.normalize()).any():
        odd = local[local != local.normalize()][0]
        raise InvalidInput(f"{name}: expected a daily index without times of day. Received: {odd}")
    days = local.to_numpy().astype("datetime64[D]").astype(np.int64)
    order = np.argsort(days, kind="stable")
    days, values = days[order], values[order]
    steps = np.diff(days)
    if (steps == 0).any():
        twice = _EPOCH + timedelta(days=int(days[int(np.flatnonzero(steps == 0)[0])]))
        raise InvalidInput(f"{name}: expected each day once. Received: {twice} twice")
    if steps.size and np.median(steps) != 1:
        raise InvalidInput(f"{name}: expected a daily index. Received: {np.median(steps):g} days from value to value")
    spread = np.full(int(days[-1] - days[0]) + 1, np.nan)
    spread[days - days[0]] = values
    return history_of_values(spread, _EPOCH + timedelta(days=int(days[-1])), name)


def inputs_of(histories: Sequence[History], place: Place | None = None) -> dict[str, Array]:
    """The forecaster's inputs; NaN on the left of shorter series leaves their answer as it is.

    With a place, also its holidays, [batch, time + 7], for which every history needs a date.
    """
    longest = max(history.values.size for history in histories)
    batch = np.full((len(histories), longest), np.nan, dtype=np.float32)
    for row, history in zip(batch, histories, strict=True):
        row[longest - history.values.size :] = history.values
    days = [_end_day(history.last_date) for history in histories]
    inputs: dict[str, Array] = {"history": batch, "end_day": np.array(days, dtype=np.int32)}
    if place is not None:
        inputs["holidays"] = np.stack([_flags(history, place, longest) for history in histories])
    return inputs


def _flags(history: History, place: Place, longest: int) -> Array:
    if history.last_date is None:
        raise InvalidInput("last_date: expected a date beside a country: holidays are on dates. Received: none")
    days = min(history.values.size, _MOST_FLAGGED)
    return np.pad(place.flags(history.last_date, days, HORIZON), (longest - days, 0))


def _end_day(last_date: date | None) -> int:
    """Days since 1970-01-01; -1 is unknown, as an earlier day is: the forecaster's calendar covers 1970 to 2099."""
    return _UNKNOWN_DAY if last_date is None or last_date < _EPOCH else (last_date - _EPOCH).days


def forecasts_of(result: InferResult, histories: Sequence[History]) -> list[Forecast]:
    """One forecast for each history. Raises BadAnswer where the outputs are not a forecaster's."""
    mean, quantiles = result["mean"], result["quantiles"]
    rows = len(histories)
    if mean.ndim != 2 or len(mean) != rows or quantiles.shape != (*mean.shape, len(LEVELS)):
        raise BadAnswer(
            f"expected mean [{rows}, days] and quantiles [{rows}, days, {len(LEVELS)}]. "
            f"Received: {list(mean.shape)} and {list(quantiles.shape)}"
        )
    return [
        Forecast(mean[i], quantiles[i], _days_after(history, mean.shape[1]), result.model, result.version)
        for i, history in enumerate(histories)
    ]


def _days_after(history: History, horizon: int) -> tuple[date, ...] | None:
    if history.last_date is None:
        return None
    return tuple(history.last_date + timedelta(days=step) for step in range(1, horizon + 1))
