import numpy as np
import pytest
from keras import ops

from training.forecaster import dates, earlier_years
from training.forecaster.features import HORIZON, MEMORY

ROWS = 4


def _memory(seed: int, gaps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    seen = (rng.random((ROWS, MEMORY)) >= gaps).astype("float32")
    past = (rng.normal(0, 3, (ROWS, MEMORY)) * seen).astype("float32")
    return past, seen, (rng.random((ROWS, MEMORY)) < 0.1).astype("float32")


def _expected(past: np.ndarray, seen: np.ndarray, flags: np.ndarray, place: int) -> tuple[float, float, float, float]:
    """Of one day of one series, step by step."""

    def at(day: int) -> float | None:
        return float(past[day]) if 0 <= day < MEMORY and seen[day] else None

    nothing = (0.0, 0.0, 0.0, 0.0)
    if not 0 <= place < MEMORY or at(place) is None:
        return nothing
    alike = [value for shift in (-14, -7, 7, 14) if (value := at(place + shift)) is not None]
    weeks = []
    for shift in (-14, -7, 7, 14):
        week = [value for day in range(-3, 4) if (value := at(place + shift + day)) is not None]
        if len(week) >= 4:
            weeks.append(np.mean(week))
    if len(alike) < 2 or len(weeks) < 2:
        return nothing
    usual = np.mean(sorted(alike)[1:3]) if len(alike) == 4 else np.mean(alike)
    return float(past[place] - usual), float(past[place] - np.mean(weeks)), float(flags[place]), 1.0


@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("end", ["2019-04-20", "2024-02-28", "2018-12-24"])
def test_counterparts_are_compared_with_the_weeks_around_them(end: str, gaps: float) -> None:
    past, seen, flags = _memory(len(end) + int(10 * gaps), gaps)
    end_day = np.full(ROWS, np.datetime64(end).astype(int), "int32")
    known = np.array([1, 1, 0, 1], "float32")[:, None, None]
    found = [ops.convert_to_numpy(part) for part in earlier_years.find(past, seen, flags, end_day, known)]
    for day in range(HORIZON):
        places = ops.convert_to_numpy(dates.counterparts(end_day + 1 + day))[0] - end_day[0] + MEMORY - 1
        for row in range(ROWS):
            for year, rule in np.ndindex(places.shape):
                expected = _expected(past[row], seen[row], flags[row], places[year, rule])
                if rule and not known[row]:
                    expected = (0.0, 0.0, 0.0, 0.0)
                np.testing.assert_allclose([part[row, day, year, rule] for part in found], expected, atol=1e-4)
    assert found[-1].sum() > 0


def test_no_counterpart_lies_in_the_last_months() -> None:
    days = np.arange(dates.FIRST, dates.LAST + 1, dtype="int32")
    nearest = ops.convert_to_numpy(dates.counterparts(days)).max((1, 2))
    assert (days - nearest).min() - HORIZON > earlier_years.NEVER_SEEN
