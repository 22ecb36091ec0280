"""Calendar look-ups on tensors of days since 1970-01-01, so that a graph can tell which day it forecasts.

Months count from January 1960, and tables by month hold what a calendar needs: they compile in a fraction of the time
that calendar arithmetic takes. Valid for days from 1961 to LAST.
"""

from typing import Any

import numpy as np
from keras import ops

Tensor = Any

LAST = 47_481  # 2099-12-31
RULES = 5
_MONTHS = np.arange("1960-01", "2100-03", dtype="datetime64[M]")
_FIRST_DAY = _MONTHS.astype("datetime64[D]").astype("int32")
_MEAN_MONTH = 365.25 / 12


def _easter(year: int) -> np.datetime64:
    """Western Easter Sunday, after Gauss's algorithm for 1900 to 2099."""
    golden = year % 19
    moon = (19 * golden + 24) % 30
    sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * moon + 5) % 7
    too_late = sunday == 6 and (moon == 29 or (moon == 28 and golden > 10))
    return np.datetime64(f"{year}-03-22") + (moon + sunday - 7 * too_late)


_EASTER = np.array([_easter(int(str(month)[:4])) for month in _MONTHS]).astype("datetime64[D]").astype("int32")


def weekday(day: Tensor) -> Tensor:
    """0 is Monday."""
    return ops.mod(day + 3, 7)


def month(day: Tensor) -> Tensor:
    """Months since January 1960."""
    guess = ops.cast(ops.cast(day - int(_FIRST_DAY[0]), "float32") / _MEAN_MONTH, "int32")
    late = ops.cast(day >= first_day(guess + 1), "int32")
    return guess + late - ops.cast(day < first_day(guess), "int32")


def first_day(month: Tensor) -> Tensor:
    """The first day of a month."""
    return ops.take(_FIRST_DAY, month, axis=0)


def month_of_year(month: Tensor) -> Tensor:
    """0 is January."""
    return ops.take(np.arange(len(_MONTHS), dtype="int32") % 12, month, axis=0)


def easter(month: Tensor) -> Tensor:
    """Easter Sunday of the year that a month lies in."""
    return ops.take(_EASTER, month, axis=0)


def weeks_in(days: Tensor) -> Tensor:
    """How many whole weeks there are in so many days, for 0 to 34 of them."""
    return sum(ops.cast(days >= 7 * weeks, "int32") for weeks in range(1, 5))


def counterparts(day: Tensor, years_back: Tensor) -> Tensor:
    """The days that a holiday on `day` would have fallen on `years_back` years earlier, by each kind of rule.

    Holidays repeat in one of few ways; the last axis of the answer holds them in this order: the same weekday
    52 weeks a year earlier, the same date, the same weekday counted from the month's start, the same counted
    from its end, and the same distance to Easter.
    """
    now = month(day)
    earlier = now - 12 * years_back
    start, after = first_day(now), first_day(now + 1)
    first, last = first_day(earlier), first_day(earlier + 1) - 1
    on_weekday = weekday(day)
    return ops.stack(
        [
            day - 364 * years_back,
            first + day - start,
            first + ops.mod(on_weekday - weekday(first), 7) + 7 * weeks_in(day - start),
            last - ops.mod(weekday(last) - on_weekday, 7) - 7 * weeks_in(after - 1 - day),
            day - easter(now) + easter(earlier),
        ],
        axis=-1,
    )
