"""Daily series made up of what real ones have: seasons, trend, level shifts, holidays, gaps and noise."""

import numpy as np

from training.forecaster.data import EPOCH, Series

SOURCE = "generated"
_FIRST, _LAST = (int((np.datetime64(day) - EPOCH).astype(int)) for day in ("1972-01-01", "2026-01-01"))


def generate(count: int, seed: int = 0, days: tuple[int, int] = (150, 1600)) -> list[Series]:
    """So many series of random lengths within `days`, the same for the same seed."""
    return [_one(number, np.random.default_rng([seed, number]), days) for number in range(count)]


def _one(number: int, rng: np.random.Generator, days: tuple[int, int]) -> Series:
    length = int(rng.integers(days[0], days[1] + 1))
    first = int(rng.integers(_FIRST, _LAST))
    calendar = EPOCH + first + np.arange(length)
    noise = rng.uniform(0.02, 0.2)
    shape = _week(calendar, rng) + _year(calendar, rng) + _levels(length, rng) + _noise(length, noise, rng)
    shape *= _holidays(calendar, rng)
    values = shape * 10 ** rng.uniform(0, 6) + (10 ** rng.uniform(0, 4) if rng.random() < 0.2 else 0)
    return Series(
        source=SOURCE,
        name=f"{SOURCE}:{number}",
        first_day=first,
        values=_gaps(values.astype("float32"), rng),
    )


def _week(calendar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weekday = (calendar - EPOCH).astype(int) % 7  # which of them is Monday does not matter to random effects
    effects = rng.normal(0, rng.uniform(0, 0.25), 7)
    weekend = [(5 - 4) % 7 + 1, (6 - 4) % 7 + 1]  # 1970-01-01 was a Thursday
    if rng.random() < 0.5:
        effects[weekend] -= rng.uniform(0.1, 0.6)
    return 1 + effects[weekday]


def _year(calendar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = (calendar - EPOCH).astype(int) * (2 * np.pi / 365.2425)
    waves = [rng.normal(0, 0.2 / k) * np.sin(k * angle) + rng.normal(0, 0.2 / k) * np.cos(k * angle) for k in (1, 2, 3)]
    return sum(waves) * rng.uniform(0, 1)


def _levels(length: int, rng: np.random.Generator) -> np.ndarray:
    trend = np.linspace(0, rng.normal(0, 0.15) * length / 365, length)
    steps = np.zeros(length)
    for at in rng.integers(0, length, rng.poisson(length / 700)):
        steps[at:] += rng.normal(0, 0.3)
    return trend + steps


def _noise(length: int, size: float, rng: np.random.Generator) -> np.ndarray:
    shocks = rng.normal(0, size, length) * np.where(rng.random(length) < 0.02, 4, 1)
    memory = rng.uniform(0, 0.8)
    for day in range(1, length):
        shocks[day] += memory * shocks[day - 1]
    return shocks


def _holidays(calendar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factors on a few fixed dates and a few n-th weekdays of a month, the same ones every year."""
    factor = np.ones(len(calendar))
    month = calendar.astype("datetime64[M]").astype(int) % 12
    day = (calendar - calendar.astype("datetime64[M]")).astype(int)
    weekday = (calendar - EPOCH).astype(int) % 7
    effect = rng.uniform(0.2, 1.1)
    for _ in range(rng.integers(0, 8)):
        factor[(month == rng.integers(12)) & (day == rng.integers(28))] = effect * rng.uniform(0.7, 1.3)
    for _ in range(rng.integers(0, 6)):
        same = (month == rng.integers(12)) & (weekday == rng.integers(7)) & (day // 7 == rng.integers(4))
        factor[same] = effect * rng.uniform(0.7, 1.3)
    return factor


def _gaps(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        values[rng.random(len(values)) < rng.uniform(0, 0.05)] = np.nan
        for begin in rng.integers(0, len(values), rng.poisson(1)):
            values[begin : begin + int(rng.integers(2, 21))] = np.nan
    return values
