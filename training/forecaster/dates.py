"""Calendar arithmetic on tensors of days since 1970-01-01, so that a graph can tell which day it forecasts.

The conversions follow Howard Hinnant, "chrono-compatible low-level date algorithms"; Easter follows Meeus,
"Astronomical Algorithms", chapter 8. All take and return int32 tensors of any one shape.
"""

from typing import Any

from keras import ops

Tensor = Any


def weekday(day: Tensor) -> Tensor:
    """0 is Monday."""
    return ops.mod(day + 3, 7)


def civil(day: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Year, month (1 to 12) and day of the month."""
    shifted = day + 719468
    era = shifted // 146097
    day_of_era = shifted - era * 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = ops.mod(month_from_march + 2, 12) + 1
    year = year_of_era + era * 400 + ops.cast(month <= 2, "int32")
    return year, month, day_of_month


def day_number(year: Tensor, month: Tensor, day_of_month: Tensor) -> Tensor:
    """The inverse of `civil`; 29 February of a common year becomes 1 March."""
    year = year - ops.cast(month <= 2, "int32")
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * ops.mod(month + 9, 12) + 2) // 5 + day_of_month - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def easter(year: Tensor) -> Tensor:
    """The day of Western Easter Sunday."""
    golden, century, rest = ops.mod(year, 19), year // 100, ops.mod(year, 100)
    epact = ops.mod(19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15, 30)
    to_sunday = ops.mod(32 + 2 * ops.mod(century, 4) + 2 * (rest // 4) - epact - ops.mod(rest, 4), 7)
    correction = (golden + 11 * epact + 22 * to_sunday) // 451
    months = epact + to_sunday - 7 * correction + 114
    return day_number(year, months // 31, ops.mod(months, 31) + 1)


def nth_in_month(day: Tensor) -> tuple[Tensor, Tensor]:
    """How many days of the same weekday the month has before this one, and after it."""
    year, month, day_of_month = civil(day)
    return (day_of_month - 1) // 7, (_next_month(year, month) - 1 - day) // 7


def counterparts(day: Tensor, years_back: Tensor) -> Tensor:
    """The days that a holiday on `day` would have fallen on `years_back` years earlier, by each kind of rule.

    Holidays repeat in one of few ways; the last axis of the answer holds them in this order: the same weekday
    52 weeks a year earlier, the same date, the same weekday counted from the month's start, the same counted
    from its end, and the same distance to Easter.
    """
    year, month, day_of_month = civil(day)
    earlier = year - years_back
    on_weekday = weekday(day)
    before, after = nth_in_month(day)
    first = day_number(earlier, month, ops.ones_like(month))
    last = _next_month(earlier, month) - 1
    return ops.stack(
        [
            day - 364 * years_back,
            day_number(earlier, month, day_of_month),
            first + ops.mod(on_weekday - weekday(first), 7) + 7 * before,
            last - ops.mod(weekday(last) - on_weekday, 7) - 7 * after,
            day - easter(year) + easter(earlier),
        ],
        axis=-1,
    )


RULES = 5


def _next_month(year: Tensor, month: Tensor) -> Tensor:
    """The first day of the month after this one."""
    return day_number(year + month // 12, ops.mod(month, 12) + 1, ops.ones_like(month))
