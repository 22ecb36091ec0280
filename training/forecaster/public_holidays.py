"""Which days of a series are public holidays, from the calendars of the `holidays` package."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from training.forecaster.data import EPOCH, DataError, Series


def parse(given: Sequence[str]) -> dict[str, str]:
    """`["rail=US-IL", "cash=GB-ENG"]` as a mapping from file name to country and subdivision."""
    parsed = {}
    for item in given:
        name, _, place = item.rpartition("=")
        if not name or not place:
            raise ValueError(f"expected FILE=COUNTRY or FILE=COUNTRY-SUBDIVISION. Received: {item}")
        parsed[name] = place
    return parsed


def flagged(series: Sequence[Series], places: Mapping[str, str]) -> list[Series]:
    """The same series, those from a file that has a place with the holidays of it. Raises DataError."""
    unknown = sorted(set(places) - {one.source for one in series})
    if unknown:
        raise DataError(f"expected the names of files to flag the holidays of. Received: {unknown}")
    return [replace(one, holidays=_flags(one, places[one.source])) if one.source in places else one for one in series]


def _flags(one: Series, place: str) -> np.ndarray:
    import holidays

    country, _, subdivision = place.partition("-")
    first = (EPOCH + one.first_day).astype(object)
    days = [first + timedelta(days=number) for number in range(len(one))]
    try:
        known = holidays.country_holidays(
            country, subdiv=subdivision or None, years=range(days[0].year, days[-1].year + 1)
        )
    except NotImplementedError as error:
        raise DataError(f"expected a country code, such as US, or US-IL. Received: {place} ({error})") from error
    return np.array([day in known for day in days])
