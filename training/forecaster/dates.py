"""Calendar look-ups on tensors of days since 1970-01-01, so that a graph can tell which day it forecasts.

Between 1961 and 2099 the calendar repeats: dates every four years, weekdays with them every 28. Tables over one such
cycle take a single gather a day, where calendar arithmetic, or a table by month, takes dozens of ops: they compile and
run in a fraction of the time. Valid for days from FIRST to LAST.
"""

from typing import Any

import numpy as np
from keras import ops

Tensor = Any

FIRST = -3_287  # 1961-01-01
LAST = 47_481  # 2099-12-31
YEARS = 3  # how many years back holidays are looked for
RULES = 5
HARMONICS = 3
_FOUR_YEARS = 4 * 365 + 1
_WEEKDAYS_REPEAT = 7 * _FOUR_YEARS
_YEAR_TURN = 18  # days from 20 December to 6 January


def weekday(day: Tensor) -> Tensor:
    """0 is Monday."""
    return ops.mod(day + 3, 7)


def weekday_one_hot(day: Tensor) -> Tensor:
    """[..., 7]."""
    return ops.cast(ops.equal(weekday(day)[..., None], np.arange(7, dtype="int32")), "float32")


def calendar(day: Tensor) -> Tensor:
    """Weekday, month, place in the month, season, and the days around New Year; [..., features]."""
    marks = ops.cast(_row(_CALENDAR, day), "float32")
    return ops.concatenate([weekday_one_hot(day), marks[..., :18], season(day, HARMONICS), marks[..., 18:]], axis=-1)


def season(day: Tensor, harmonics: int) -> Tensor:
    """Sines and cosines of the time of the year, at most HARMONICS of each; [..., 2 * harmonics]."""
    return _row(_SEASON[:, : 2 * harmonics], day)


def counterparts(day: Tensor) -> Tensor:
    """The days that a holiday on `day` would have fallen on one to YEARS years earlier, [..., YEARS, RULES].

    Holidays repeat in one of few ways; the last axis of the answer holds them in this order: the same weekday
    52 weeks a year earlier, the same date, the same weekday counted from the month's start, the same counted
    from its end, and the same distance to Easter.
    """
    since = day - FIRST
    by_month = ops.take(_BY_MONTH, ops.mod(since, _WEEKDAYS_REPEAT), axis=0)
    year = 4 * (since // _FOUR_YEARS) + ops.minimum(ops.mod(since, _FOUR_YEARS) // 365, 3)
    by_easter = ops.take(_BY_EASTER, year, axis=0)
    back = ops.cast(ops.concatenate([by_month, by_easter[..., None]], axis=-1), "int32")
    return day[..., None, None] - _WHOLE_WEEKS - back


def _row(table: np.ndarray, day: Tensor) -> Tensor:
    return ops.take(table, ops.mod(day - FIRST, _FOUR_YEARS), axis=0)


def _days(month: np.ndarray) -> np.ndarray:
    """Days since 1970 of the first of each month."""
    return month.astype("datetime64[D]").astype("int64")


def _calendar_table() -> np.ndarray:
    """What `calendar` says beside the weekday and the season, for each day of four years; small, as graphs hold it."""
    day = FIRST + np.arange(_FOUR_YEARS)
    month = day.astype("datetime64[D]").astype("datetime64[M]")
    of_year = month.astype(int) % 12
    first, next_first = _days(month), _days(month + 1)
    new_year = _days(month - of_year + 12 * (of_year >= 6))
    parts = [
        of_year[:, None] == np.arange(12),
        ((day - first) // 7)[:, None] == np.arange(5),
        ((next_first - 1 - day) // 7 == 0)[:, None],
        (day - new_year + 12)[:, None] == np.arange(_YEAR_TURN),
    ]
    return np.concatenate(parts, axis=1).astype("int8")


def _season_table() -> np.ndarray:
    day = FIRST + np.arange(_FOUR_YEARS)
    of_year = day - day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype("int64")
    angle = of_year * (2 * np.pi / 365.25)
    waves = [wave(k * angle) for k in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1).astype("float32")


def _month_table() -> np.ndarray:
    """How many days more than 52 weeks a year lie between a day and its counterparts by date and by month.

    Of each day of 28 years, [days, YEARS, RULES - 1]: 0, the same date, and the same weekday from either end.
    """
    day = (FIRST + np.arange(_WEEKDAYS_REPEAT))[:, None]
    years_back = np.arange(1, YEARS + 1)
    now = day.astype("datetime64[D]").astype("datetime64[M]")
    earlier = now - 12 * years_back
    start, after = _days(now), _days(now + 1)
    first, last = _days(earlier), _days(earlier + 1) - 1
    on_weekday, first_on, last_on = ((one + 3) % 7 for one in (day, first, last))
    found = [
        day - 364 * years_back,
        first + day - start,
        first + (on_weekday - first_on) % 7 + 7 * ((day - start) // 7),
        last - (last_on - on_weekday) % 7 - 7 * ((after - 1 - day) // 7),
    ]
    return (np.stack([day - 364 * years_back - one for one in found], axis=-1)).astype("int8")


def _easter(year: int) -> int:
    """Western Easter Sunday, after Gauss's algorithm for 1900 to 2099."""
    golden = year % 19
    moon = (19 * golden + 24) % 30
    sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * moon + 5) % 7
    too_late = sunday == 6 and (moon == 29 or (moon == 28 and golden > 10))
    return int((np.datetime64(f"{year}-03-22") + (moon + sunday - 7 * too_late)).astype(int))


def _easter_table() -> np.ndarray:
    """The same for the counterparts by Easter, of each year from 1961 to 2099: [years, YEARS]."""
    years_back = range(1, YEARS + 1)
    return np.array(
        [[_easter(year) - _easter(year - k) - 364 * k for k in years_back] for year in range(1961, 2100)]
    ).astype("int8")


_WHOLE_WEEKS = 364 * np.arange(1, YEARS + 1, dtype="int32")[:, None]
_SEASON = _season_table()
_CALENDAR = _calendar_table()
_BY_MONTH = _month_table()
_BY_EASTER = _easter_table()
