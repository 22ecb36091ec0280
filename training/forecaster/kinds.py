"""Kinds of daily series to generate: each a function of a calendar and a random generator.

A forecaster that has only seen passengers and cash knows weeks and holidays, and little of walks, rare demand or
weather; a few hundred made-up series of each kind teach it what not to expect.
"""

from collections.abc import Callable

import numpy as np

Kind = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Takes days, datetime64[D], gives values of the order of one, and which days are public holidays (bool)."""


def _number(calendar: np.ndarray) -> np.ndarray:
    return (calendar - np.datetime64("1970-01-01")).astype(int)


def _none(calendar: np.ndarray) -> np.ndarray:
    return np.zeros(len(calendar), bool)


def week(calendar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factors by weekday around 1, on most series lower at the weekend."""
    number = _number(calendar) % 7  # 1970-01-01 was a Thursday
    effects = rng.normal(0, rng.uniform(0, 0.25), 7)
    if rng.random() < 0.5:
        effects[[2, 3]] -= rng.uniform(0.1, 0.6)
    return 1 + effects[number]


def year(calendar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few waves through the year."""
    angle = _number(calendar) * (2 * np.pi / 365.2425)
    waves = [rng.normal(0, 0.2 / k) * np.sin(k * angle) + rng.normal(0, 0.2 / k) * np.cos(k * angle) for k in (1, 2, 3)]
    return sum(waves) * rng.uniform(0, 1)


def levels(length: int, rng: np.random.Generator) -> np.ndarray:
    """A trend and a few lasting steps."""
    trend = np.linspace(0, rng.normal(0, 0.15) * length / 365, length)
    steps = np.zeros(length)
    for at in rng.integers(0, length, rng.poisson(length / 700)):
        steps[at:] += rng.normal(0, 0.3)
    return trend + steps


def remembered(shocks: np.ndarray, memory: float) -> np.ndarray:
    """Shocks of which each day keeps a share from the day before."""
    for day in range(1, len(shocks)):
        shocks[day] += memory * shocks[day - 1]
    return shocks


def noise(length: int, size: float, rng: np.random.Generator) -> np.ndarray:
    shocks = rng.normal(0, size, length) * np.where(rng.random(length) < 0.02, 4, 1)
    return remembered(shocks, rng.uniform(0, 0.8))


def holidays(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Factors on a few fixed dates and a few n-th weekdays of a month, the same ones every year, and their days."""
    factor, flags = np.ones(len(calendar)), _none(calendar)
    month = calendar.astype("datetime64[M]").astype(int) % 12
    day = (calendar - calendar.astype("datetime64[M]")).astype(int)
    weekday = _number(calendar) % 7
    effect = rng.uniform(0.2, 1.1)
    fixed = [(month == rng.integers(12)) & (day == rng.integers(28)) for _ in range(rng.integers(0, 8))]
    moving = [
        (month == rng.integers(12)) & (weekday == rng.integers(7)) & (day // 7 == rng.integers(4))
        for _ in range(rng.integers(0, 6))
    ]
    for same in fixed + moving:
        factor[same] = effect * rng.uniform(0.7, 1.3)
        flags |= same
    return factor, flags


def transport(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weeks, seasons, trend, steps, holidays and noise: passengers, visits, sales."""
    length = len(calendar)
    shape = week(calendar, rng) + year(calendar, rng) + levels(length, rng) + noise(length, rng.uniform(0.02, 0.2), rng)
    factor, flags = holidays(calendar, rng)
    return shape * factor, flags


def multiplicative(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Growth, weeks and seasons as factors of each other."""
    length = len(calendar)
    growth = np.exp(np.linspace(0, rng.normal(0, 0.4) * length / 365, length))
    spread = np.exp(remembered(rng.normal(0, rng.uniform(0.02, 0.15), length), rng.uniform(0, 0.7)))
    factor, flags = holidays(calendar, rng)
    seasons = np.exp(year(calendar, rng)) * np.maximum(week(calendar, rng), 0.05)
    return growth / growth.mean() * seasons * spread * factor, flags


def cash(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Withdrawals: sharp weeks, the turn of the month, much noise, days without any."""
    length = len(calendar)
    day = (calendar - calendar.astype("datetime64[M]")).astype(int)
    pay = 1 + rng.uniform(0, 0.3) * np.isin(day, [0, 1, 27, 28, 29, 30]) * (rng.random() < 0.5)
    effects = np.exp(rng.normal(0, 0.35, 7))[_number(calendar) % 7]
    gentle = 1 + 0.5 * year(calendar, rng) + levels(length, rng) * 0.5
    values = effects * pay * gentle * rng.gamma(1 / (size := rng.uniform(0.02, 0.15)), size, length)
    factor, flags = holidays(calendar, rng)
    values *= factor
    values[rng.random(length) < rng.uniform(0, 0.01)] = 0
    return values, flags


def counts(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers around a slowly moving rate, with faint weeks: births, calls, accidents."""
    length = len(calendar)
    rate = np.exp(rng.uniform(np.log(2), np.log(200)))
    moving = np.exp(np.cumsum(rng.normal(0, rng.uniform(0, 0.02), length)))
    weekly = 1 + (week(calendar, rng) - 1) * rng.uniform(0, 0.6)
    seasons = np.exp(year(calendar, rng) * rng.uniform(0, 1))
    over = rng.gamma(k := np.exp(rng.uniform(1, 5)), 1 / k, length)
    drawn = rng.poisson(np.clip(rate * moving * weekly * seasons * over, 0, 1e6))
    return drawn / rate, _none(calendar)


def rare(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Demand that is nothing on most days."""
    length = len(calendar)
    chance = np.clip(rng.uniform(0.05, 0.6) * week(calendar, rng) + 0.3 * year(calendar, rng), 0.01, 0.95)
    sizes = rng.poisson(np.exp(rng.uniform(0, 3)), length) + 1
    return (rng.random(length) < chance) * sizes / 5.0, _none(calendar)


def walk(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random walk, with or without drift: prices, rates."""
    length = len(calendar)
    steps = rng.standard_t(rng.uniform(3, 12), length) * rng.uniform(0.003, 0.03)
    path = np.cumsum(steps + rng.normal(0, 0.002) * (rng.random() < 0.4))
    path = np.exp(path) if rng.random() < 0.5 else 1 + path
    return path + rng.normal(0, rng.uniform(0, 0.01), length), _none(calendar)


def autoregressive(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Days that depend on the days before, with or without faint weeks."""
    length = len(calendar)
    first, second = rng.uniform(-0.4, 0.9), rng.uniform(-0.4, 0.5)
    second = np.clip(second, -0.95, 0.97 - abs(first))
    shocks = rng.normal(0, rng.uniform(0.03, 0.3), length)
    for day in range(2, length):
        shocks[day] += first * shocks[day - 1] + second * shocks[day - 2]
    weekly = (week(calendar, rng) - 1) * rng.uniform(0, 1) * (rng.random() < 0.4)
    return 1 + shocks + weekly, _none(calendar)


def weather(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One wave a year and days like their neighbours, skewed and without weeks: temperatures, water levels."""
    length = len(calendar)
    angle = _number(calendar) * (2 * np.pi / 365.2425) + rng.uniform(0, 2 * np.pi)
    width = 1 + rng.uniform(0, 0.6) * np.cos(angle)
    shocks = rng.gamma(k := rng.uniform(1, 12), 1 / np.sqrt(k), length) - np.sqrt(k)
    shocks = remembered(shocks * rng.choice([-1, 1]), rng.uniform(0.3, 0.85))
    return 1 + rng.uniform(0.1, 0.8) * np.cos(angle) + rng.uniform(0.05, 0.3) * width * shocks, _none(calendar)


def attention(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of visits: bursts that fade, weeks that come and go with the season: page views."""
    length = len(calendar)
    shocks = np.where(rng.random(length) < rng.uniform(0.002, 0.02), rng.exponential(rng.uniform(0.3, 1.5), length), 0)
    bursts = remembered(shocks, rng.uniform(0.6, 0.97))
    angle = _number(calendar) * (2 * np.pi / 365.2425) + rng.uniform(0, 2 * np.pi)
    season = np.clip(np.cos(angle), 0, 1) * rng.uniform(0, 1)
    weekly = (week(calendar, rng) - 1) * (rng.uniform(0, 1) + 2 * season)
    small = remembered(rng.normal(0, rng.uniform(0.05, 0.2), length), rng.uniform(0.2, 0.8))
    return 8 + bursts + season + weekly + small + levels(length, rng), _none(calendar)


def closing(calendar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A shop that is closed on some weekdays and on holidays."""
    values, flags = transport(calendar, rng)
    shut = np.isin(_number(calendar) % 7, rng.choice(7, rng.integers(1, 3), replace=False))
    return np.where(shut | flags, 0.0, np.maximum(values, 0.0)), flags


KINDS: dict[str, tuple[Kind, float]] = {
    "transport": (transport, 3.0),
    "multiplicative": (multiplicative, 2.0),
    "cash": (cash, 2.0),
    "counts": (counts, 2.0),
    "rare": (rare, 1.0),
    "walk": (walk, 1.0),
    "autoregressive": (autoregressive, 1.5),
    "weather": (weather, 1.5),
    "attention": (attention, 1.5),
    "closing": (closing, 0.5),
}
"""The kinds by name, and how often each is drawn against the others."""
