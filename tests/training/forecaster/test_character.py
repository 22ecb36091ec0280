import numpy as np
import pytest
from keras import ops

from training.forecaster import character

DAYS = 112
AGE = np.arange(DAYS - 1, -1, -1)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float((values * weights).sum() / max(weights.sum(), 1e-6))


def _slope(values: np.ndarray, seen: np.ndarray) -> float:
    weight, time = seen * 0.97**AGE, -AGE
    mean_time, mean = _mean(time, weight), _mean(values, weight)
    off = (time - mean_time) * weight
    return float((off * (values - mean)).sum() / ((off * (time - mean_time)).sum() + 30.0))


def _kept(values: np.ndarray, seen: np.ndarray, lag: int) -> float:
    product = _mean(values[lag:] * values[:-lag], seen[lag:] * seen[:-lag])
    return product / (_mean(values**2, seen) + 1e-3)


def _traits(past: np.ndarray, seen: np.ndarray, residual: np.ndarray, values: np.ndarray) -> list[float]:
    size = _mean(np.abs(residual), seen)
    known = past[seen > 0]
    smooth = [_mean(residual, seen * (1 - rate) ** AGE) for rate in (0.6, 0.3, 0.05)]
    return [
        *(_kept(residual, seen, lag) for lag in (1, 2, 7)),
        *(_kept(past, seen, lag) for lag in (1, 7)),
        np.log(0.05 + _mean(np.abs(residual[-28:]), seen[-28:])) - np.log(0.05 + size),
        np.arcsinh(size),
        np.log(0.05 + _mean(np.abs(np.diff(past)), seen[1:] * seen[:-1])),
        _mean(values == 0, seen),
        *(np.arcsinh(pick(known)) if len(known) else 0.0 for pick in (np.max, np.min)),
        np.arcsinh(10 * _slope(residual, seen)),
        *np.arcsinh(smooth),
    ]


@pytest.mark.parametrize("known", [0, 1, 9, 60, DAYS])
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_traits_are_what_plain_sums_say(known: int, gaps: float) -> None:
    rng = np.random.default_rng(known)
    seen = ((known > AGE) & (rng.random(DAYS) >= gaps)).astype("float32")
    values = (rng.integers(0, 4, DAYS) * seen).astype("float32")
    past = ((values - 1.3) * seen).astype("float32")
    profile = rng.normal(0, 0.5, 7).astype("float32")
    residual = ((past - np.tile(profile, DAYS // 7)) * seen).astype("float32")
    traits, guesses = (
        ops.convert_to_numpy(part)[0]
        for part in character.of(*(part[None] for part in (past, seen, residual, values, profile)))
    )
    np.testing.assert_allclose(traits, _traits(past, seen, residual, values), atol=2e-4)
    slope = _slope(residual, seen)
    np.testing.assert_allclose(guesses[:, -1], slope * (np.arange(1, 8) + 10), atol=2e-4)
    by_weekday = [_mean(residual[day::7], seen[day::7]) for day in range(7)]
    np.testing.assert_allclose(guesses[:, -2], by_weekday, atol=2e-4)
    plain = [_mean(past, seen * (1 - rate) ** AGE) for rate in (0.7, 0.3, 0.1, 0.03)]
    np.testing.assert_allclose(guesses[:, :4], np.array(plain) - profile[:, None], atol=2e-3)
