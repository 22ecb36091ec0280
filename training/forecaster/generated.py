"""Daily series made up of what real ones have, in many kinds: seasons, trends, steps, walks, rare demand, holidays."""

import numpy as np

from training.forecaster.data import EPOCH, Series
from training.forecaster.kinds import KINDS

SOURCE = "generated"
_FIRST, _LAST = (int((np.datetime64(day) - EPOCH).astype(int)) for day in ("1972-01-01", "2026-01-01"))


def generate(count: int, seed: int = 0, days: tuple[int, int] = (150, 1600), kind: str | None = None) -> list[Series]:
    """So many series of random lengths within `days`, the same for the same seed; of all kinds, or of one."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"Expected one of {sorted(KINDS)}. Received: {kind!r}")
    return [_one(number, np.random.default_rng([seed, number]), days, kind) for number in range(count)]


def _one(number: int, rng: np.random.Generator, days: tuple[int, int], kind: str | None) -> Series:
    length = int(rng.integers(days[0], days[1] + 1))
    first = int(rng.integers(_FIRST, _LAST))
    names, odds = list(KINDS), np.array([odds for _, odds in KINDS.values()])
    kind = kind or names[rng.choice(len(names), p=odds / odds.sum())]
    shape, holidays = KINDS[kind][0](EPOCH + first + np.arange(length), rng)
    values = shape * 10 ** rng.uniform(0, 6) + (10 ** rng.uniform(0, 4) if rng.random() < 0.2 else 0)
    return Series(
        source=SOURCE,
        name=f"{SOURCE}:{number}:{kind}",
        first_day=first,
        values=_gaps(values.astype("float32"), rng),
        holidays=holidays,
    )


def _gaps(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        values[rng.random(len(values)) < rng.uniform(0, 0.05)] = np.nan
        for begin in rng.integers(0, len(values), rng.poisson(1)):
            values[begin : begin + int(rng.integers(2, 21))] = np.nan
    return values
