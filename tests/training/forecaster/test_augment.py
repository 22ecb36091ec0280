import numpy as np
import pytest

from training.forecaster.augment import Augmentation, Example
from training.forecaster.features import HORIZON, MEMORY

RNG = np.random.default_rng(0)
EXAMPLE = Example(
    RNG.normal(10, 2, MEMORY).astype("float32"),
    18000,
    (RNG.random(MEMORY + HORIZON) < 0.03).astype("float32"),
    RNG.normal(10, 2, HORIZON).astype("float32"),
)
NOTHING = Augmentation().none()


def _changed(**options: float) -> Example:
    return Augmentation(**(vars(NOTHING) | options))(EXAMPLE, 14, np.random.default_rng(1))


def test_nothing_changes_nothing() -> None:
    for before, after in zip(EXAMPLE, NOTHING(EXAMPLE, 14, np.random.default_rng(1)), strict=True):
        np.testing.assert_array_equal(after, before)


def test_each_option_does_what_it_says() -> None:
    short = np.isfinite(_changed(shortened=1).history)
    assert 14 <= short.sum() < MEMORY
    assert short[-short.sum() :].all()
    assert 0 < np.isnan(_changed(gaps=1).history).mean() < 0.35
    missing = np.flatnonzero(np.isnan(_changed(masked=1).history))
    assert (np.diff(missing) == 1).all()
    assert _changed(undated=1).end_day == -1
    assert _changed(unflagged=1).holidays.sum() == 0 < EXAMPLE.holidays.sum()
    jittered = _changed(jitter=0.1)
    assert 0.05 < np.std(jittered.history - EXAMPLE.history) < 0.5
    np.testing.assert_array_equal(jittered.targets, EXAMPLE.targets)


def test_scaling_stretches_history_and_targets_alike() -> None:
    scaled = _changed(scaling=0.5)
    factor = (scaled.history - EXAMPLE.history.mean()) / (EXAMPLE.history - EXAMPLE.history.mean())
    assert factor.std() < 0.05
    assert abs(factor.mean() - 1) > 0.01
    ratio = (scaled.targets - EXAMPLE.history.mean()) / (EXAMPLE.targets - EXAMPLE.history.mean())
    np.testing.assert_allclose(ratio, factor.mean(), rtol=0.05)


@pytest.mark.parametrize(("option", "value"), [("gaps", 1.5), ("undated", -0.1), ("jitter", -1.0)])
def test_impossible_amounts_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} .*Received: {value}"):
        Augmentation(**{option: value})
