import datetime

import numpy as np
import pytest
from keras import ops

from training.forecaster import dates

EPOCH = datetime.date(1970, 1, 1)
DAYS = np.arange(0, 80 * 366, 17, dtype="int32")


def _number(year: int, month: int, day: int) -> int:
    return (datetime.date(year, month, day) - EPOCH).days


def test_civil_and_back_agree_with_the_calendar() -> None:
    expected = [EPOCH + datetime.timedelta(days=int(day)) for day in DAYS]
    year, month, day = (ops.convert_to_numpy(part) for part in dates.civil(ops.convert_to_tensor(DAYS)))
    assert [*zip(year, month, day, strict=True)] == [(d.year, d.month, d.day) for d in expected]
    assert np.array_equal(dates.day_number(*map(ops.convert_to_tensor, (year, month, day))), DAYS)
    assert ops.convert_to_numpy(dates.weekday(ops.convert_to_tensor(DAYS))).tolist() == [d.weekday() for d in expected]


@pytest.mark.parametrize(
    "sunday", [(1998, 4, 12), (2008, 3, 23), (2011, 4, 24), (2019, 4, 21), (2024, 3, 31), (2038, 4, 25)]
)
def test_easter(sunday: tuple[int, int, int]) -> None:
    assert int(dates.easter(ops.array([sunday[0]], "int32"))[0]) == _number(*sunday)


@pytest.mark.parametrize(
    ("rule", "today", "earlier"),
    [
        (0, (2019, 5, 8), (2018, 5, 9)),
        (1, (2019, 12, 25), (2018, 12, 25)),
        (1, (2024, 2, 29), (2023, 3, 1)),
        (2, (2019, 1, 21), (2018, 1, 15)),  # third Monday
        (2, (2018, 11, 22), (2017, 11, 23)),  # fourth Thursday
        (3, (2019, 5, 27), (2018, 5, 28)),  # last Monday
        (3, (2018, 12, 31), (2017, 12, 25)),  # across the end of the year
        (4, (2019, 4, 19), (2018, 3, 30)),  # Good Friday
    ],
)
def test_a_holiday_is_found_a_year_earlier(
    rule: int, today: tuple[int, int, int], earlier: tuple[int, int, int]
) -> None:
    one = ops.ones((1,), "int32")
    found = dates.counterparts(ops.array([_number(*today)], "int32"), one)
    assert found.shape == (1, dates.RULES)
    assert int(found[0, rule]) == _number(*earlier)
