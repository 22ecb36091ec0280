"""Public holidays of a country, as the forecaster's `with_holidays` signature takes them."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from types import ModuleType

import numpy as np

from seqserve_client._exceptions import InvalidInput, MissingDependency
from seqserve_client._tensors import Array


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series is from: ISO 3166 code of a country and, where it has holidays of its own, of its subdivision.

    Raises InvalidInput for a place whose holidays are not known, MissingDependency without the holidays package.
    """

    country: str
    subdiv: str | None = None

    def __post_init__(self) -> None:
        try:
            _days_of(self.country, self.subdiv, 2000)
        except (NotImplementedError, AttributeError, TypeError) as error:
            raise InvalidInput(
                "country, subdiv: expected codes of a place whose holidays are known, such as 'US' and 'IL'. "
                f"Received: {self.country!r}, {self.subdiv!r} ({error})"
            ) from None

    def flags(self, last: date, history: int, horizon: int) -> Array:
        """float32 [history + horizon], 1 on holidays: so many days up to `last`, and so many after it."""
        days = [last + timedelta(days=ahead) for ahead in range(1 - history, 1 + horizon)]
        years = {year: _days_of(self.country, self.subdiv, year) for year in range(days[0].year, days[-1].year + 1)}
        return np.array([day in years[day.year] for day in days], dtype=np.float32)


@lru_cache(maxsize=4096)
def _days_of(country: str, subdiv: str | None, year: int) -> frozenset[date]:
    return frozenset(_package().country_holidays(country, subdiv=subdiv, years=year, expand=False))


def _package() -> ModuleType:
    try:
        import holidays
    except ImportError:
        raise MissingDependency("a country needs the package holidays: pip install seqserve-client[holidays]") from None
    return holidays
