import numpy as np
import pytest

from training.forecaster import public_holidays
from training.forecaster.data import DataError, Series, window

DAYS = (np.datetime64("2019-05-01") - np.datetime64("1970-01-01")).astype(int)


def _series(source: str = "rail") -> Series:
    return Series(source=source, name=f"{source}:a", first_day=int(DAYS), values=np.arange(40, dtype="float32"))


def test_holidays_are_those_of_the_place() -> None:
    rail, cash = public_holidays.flagged([_series(), _series("cash")], public_holidays.parse(["rail=US-IL"]))
    assert np.flatnonzero(rail.holidays).tolist() == [26]  # Memorial Day, May 27th
    assert cash.holidays is None


def test_windows_hold_the_flags_of_the_week_ahead() -> None:
    (rail,) = public_holidays.flagged([_series()], {"rail": "US"})
    example = window(rail, 24)
    assert np.flatnonzero(example.holidays).tolist() == [len(example.history) + 2]
    assert window(_series(), 24).holidays.sum() == 0


@pytest.mark.parametrize("place", ["Atlantis", "US-XX"])
def test_unknown_places_are_refused(place: str) -> None:
    with pytest.raises(DataError, match=f"Received: {place}"):
        public_holidays.flagged([_series()], {"rail": place})


def test_unknown_files_are_refused() -> None:
    with pytest.raises(DataError, match=r"names of files .* Received: \['bus'\]"):
        public_holidays.flagged([_series()], {"bus": "US"})
    with pytest.raises(ValueError, match="FILE=COUNTRY or FILE=COUNTRY-SUBDIVISION"):
        public_holidays.parse(["US"])
