import datetime

import numpy as np
import pytest
from keras import ops

from training.forecaster import dates

EPOCH = datetime.date(1970, 1, 1)
DAYS = np.arange(-3000, dates.LAST + 1, dtype="int32")


def _number(year: int, month: int, day: int) -> int:
    return (datetime.date(year, month, day) - EPOCH).days


def test_every_day_has_its_month_and_weekday() -> None:
    days = DAYS.astype("datetime64[D]")
    month = dates.month(DAYS)
    np.testing.assert_array_equal(month, days.astype("datetime64[M]").astype(int) + 120)
    np.testing.assert_array_equal(
        dates.first_day(month), days.astype("datetime64[M]").astype("datetime64[D]").astype(int)
    )
    np.testing.assert_array_equal(dates.month_of_year(month), days.astype("datetime64[M]").astype(int) % 12)
    assert ops.convert_to_numpy(dates.weekday(DAYS)).tolist() == [
        (EPOCH + datetime.timedelta(days=int(day))).weekday() for day in DAYS
    ]


@pytest.mark.parametrize(
    "sunday",
    [(1981, 4, 19), (1998, 4, 12), (2008, 3, 23), (2011, 4, 24), (2019, 4, 21), (2038, 4, 25), (2049, 4, 18)],
)
def test_easter(sunday: tuple[int, int, int]) -> None:
    any_month = np.array([12 * (sunday[0] - 1960) + 10], "int32")
    assert int(dates.easter(any_month)[0]) == _number(*sunday)


@pytest.mark.parametrize(("days", "weeks"), [(0, 0), (6, 0), (7, 1), (13, 1), (28, 4), (30, 4)])
def test_whole_weeks(days: int, weeks: int) -> None:
    assert int(dates.weeks_in(np.array([days], "int32"))[0]) == weeks


@pytest.mark.parametrize(
    ("rule", "today", "earlier"),
    [
        (0, (2019, 5, 8), (2018, 5, 9)),
        (1, (2019, 12, 25), (2018, 12, 25)),
        (1, (2024, 2, 29), (2023, 3, 1)),
        (2, (2019, 1, 21), (2018, 1, 15)),  # third Monday
        (2, (2018, 11, 22), (2017, 11, 23)),  # fourth Thursday
        (3, (2019, 5, 27), (2018, 5, 28)),  # last Monday
        (3, (2018, 12, 31), (2017, 12, 25)),  # last Monday of the year
        (4, (2019, 4, 19), (2018, 3, 30)),  # Good Friday
    ],
)
def test_a_holiday_is_found_a_year_earlier(
    rule: int, today: tuple[int, int, int], earlier: tuple[int, int, int]
) -> None:
    found = dates.counterparts(np.array([_number(*today)], "int32"), np.array([1], "int32"))
    assert found.shape == (1, dates.RULES)
    assert int(found[0, rule]) == _number(*earlier)
