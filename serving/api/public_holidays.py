"""Public holidays of a country, as the forecaster's `with_holidays` signature takes them."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import holidays
import numpy as np
from holidays.registry import COUNTRIES
from numpy.typing import NDArray

from serving.quoting import shown

_CODES = frozenset(code for _, *codes in COUNTRIES.values() for code in codes)
_MOST_CACHED = 4096  # years of places, 1.5 kB each


class UnknownPlace(ValueError):
    """There is no calendar for a country or a subdivision; the message says what is expected."""


def check(country: str, subdivision: str | None) -> None:
    """Raises UnknownPlace where no holidays are known. Countries are ISO 3166 codes of two or three letters."""
    if country not in _CODES:
        raise UnknownPlace(f"expected the code of a country whose holidays are known, such as US; got {shown(country)}")
    if subdivision is None:
        return
    calendar: Any = getattr(holidays, country)
    if subdivision not in calendar.subdivisions:
        there = ", ".join(calendar.subdivisions) or "none is known"
        raise UnknownPlace(f"expected a subdivision of {country} ({there}); got {shown(subdivision)}")


def flags(country: str, subdivision: str | None, last: date, history: int, horizon: int) -> NDArray[np.float32]:
    """Give 1.0 on public holidays and 0.0 on other days: `history` days up to `last`, and `horizon` after it."""
    first, end = last - timedelta(days=history - 1), last + timedelta(days=horizon)
    years = [_year(country, subdivision, year) for year in range(first.year, end.year + 1)]
    start = first.timetuple().tm_yday - 1
    return np.concatenate(years)[start : start + history + horizon]


@lru_cache(maxsize=_MOST_CACHED)
def _year(country: str, subdivision: str | None, year: int) -> NDArray[np.float32]:
    """A flag for each day of one year."""
    days = np.zeros(date(year, 12, 31).timetuple().tm_yday, np.float32)
    for day in holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False):
        if day.year == year:
            days[day.timetuple().tm_yday - 1] = 1.0
    return days
