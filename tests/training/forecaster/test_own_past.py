import numpy as np
import pytest
from keras import ops

from training.forecaster import own_past

HORIZON = 7


def _autoregressive(share: float, days: int = own_past.DAYS) -> np.ndarray:
    shocks = np.random.default_rng(0).normal(0, 1, days).astype("float32")
    for day in range(1, days):
        shocks[day] += share * shocks[day - 1]
    return shocks


def _regress(values: np.ndarray, seen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    seen = np.ones_like(values) if seen is None else seen.astype("float32")
    guess, features = own_past.regress(*(ops.convert_to_tensor(part[None]) for part in (values, seen)), HORIZON)
    return ops.convert_to_numpy(guess)[0], ops.convert_to_numpy(features)[0]


def test_as_much_of_a_distance_is_kept_as_the_past_has_kept() -> None:
    values = _autoregressive(0.8)
    values[-1] = values[-28:-1].mean() + 5
    _, features = _regress(values)
    kept = features[:, 1] + features[:, 2] / 7  # the last day is a seventh of its week
    assert kept[0] == pytest.approx(0.8, abs=0.1)
    assert kept[6] == pytest.approx(0.8**7, abs=0.15)


def test_errors_grow_with_the_days_ahead_as_far_as_they_did() -> None:
    _, features = _regress(_autoregressive(0.8))
    off = np.exp(features[:, 3]) - 0.05
    assert off[0] == pytest.approx(1.0, abs=0.1)
    assert off[6] == pytest.approx(1 / np.sqrt(1 - 0.64), abs=0.25)


def test_a_walk_stays_where_it_is() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(0, 1, own_past.DAYS)).astype("float32") / 10
    guess, _ = _regress(walk)
    assert np.abs(guess - walk[-1]).max() < 0.3 * np.abs(walk[-28:].mean() - walk[-1])


def test_gaps_and_days_before_the_first_change_little() -> None:
    values = _autoregressive(0.8)
    seen = np.random.default_rng(1).random(len(values)) > 0.1
    seen[:300], seen[-1] = False, True
    guess, features = _regress(np.where(seen, values, 99.0).astype("float32"), seen)
    whole, _ = _regress(values)
    np.testing.assert_allclose(guess, whole, atol=0.6)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("known", [0, 5, 20])
def test_little_to_go_by_gives_numbers_all_the_same(known: int) -> None:
    seen = np.arange(own_past.DAYS) >= own_past.DAYS - known
    guess, features = _regress(np.full(own_past.DAYS, 2.0, "float32"), seen)
    assert np.isfinite(guess).all()
    assert np.isfinite(features).all()
