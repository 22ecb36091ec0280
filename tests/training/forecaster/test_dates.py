import datetime

import numpy as np
import pytest
from keras import ops

from training.forecaster import dates

EPOCH = datetime.date(1970, 1, 1)
DAYS = np.arange(dates.FIRST, dates.LAST + 1, dtype="int32")


def _number(year: int, month: int, day: int) -> int:
    return (datetime.date(year, month, day) - EPOCH).days


def test_every_day_has_its_place_in_the_calendar() -> None:
    found = ops.convert_to_numpy(dates.calendar(DAYS))
    for day, row in zip(DAYS[::11], found[::11], strict=True):
        date = EPOCH + datetime.timedelta(days=int(day))
        expected = np.zeros(49)
        expected[date.weekday()] = 1
        expected[7 + date.month - 1] = 1
        expected[19 + (date.day - 1) // 7] = 1
        expected[24] = (date + datetime.timedelta(days=7)).month != date.month
        angle = (date - date.replace(month=1, day=1)).days * 2 * np.pi / 365.25
        expected[25:31] = [wave(k * angle) for k in (1, 2, 3) for wave in (np.sin, np.cos)]
        new_year = datetime.date(date.year + (date.month > 6), 1, 1)
        if 0 <= (place := (date - new_year).days + 12) < 18:
            expected[31 + place] = 1
        np.testing.assert_allclose(row, expected, atol=1e-6)
    np.testing.assert_array_equal(dates.season(DAYS, 2), found[:, 25:29])


@pytest.mark.parametrize(
    ("now", "earlier"),
    [
        ((2000, 4, 23), (1998, 4, 12)),
        ((2010, 4, 4), (2008, 3, 23)),
        ((2013, 3, 31), (2011, 4, 24)),
        ((2021, 4, 4), (2019, 4, 21)),
        ((2024, 3, 31), (2022, 4, 17)),
        ((2027, 3, 28), (2025, 4, 20)),
    ],
)
def test_easter(now: tuple[int, int, int], earlier: tuple[int, int, int]) -> None:
    found = dates.counterparts(np.array([_number(*now)], "int32"))
    assert int(found[0, 1, 4]) == _number(*earlier)


@pytest.mark.parametrize("first", [(1964, 1, 1), (1999, 11, 1), (2023, 12, 1), (2098, 1, 1)])
def test_counterparts_are_those_that_a_calendar_tells(first: tuple[int, int, int]) -> None:
    days = _number(*first) + np.arange(700, dtype="int32")
    found = ops.convert_to_numpy(dates.counterparts(days))
    for day, rows in zip(days, found, strict=True):
        date = EPOCH + datetime.timedelta(days=int(day))
        after = (date.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)
        for years, row in enumerate(rows, start=1):
            start = _number(date.year - years, date.month, 1)
            end = _number(after.year - years, after.month, 1)
            from_start = next(start + k for k in range(7) if (start + k - day) % 7 == 0) + 7 * ((date.day - 1) // 7)
            from_end = next(end - k for k in range(1, 8) if (end - k - day) % 7 == 0)
            from_end -= 7 * ((_number(after.year, after.month, 1) - 1 - day) // 7)
            assert row[:4].tolist() == [day - 364 * years, start + date.day - 1, from_start, from_end]


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
    found = dates.counterparts(np.array([_number(*today)], "int32"))
    assert found.shape == (1, dates.YEARS, dates.RULES)
    assert int(found[0, 0, rule]) == _number(*earlier)
