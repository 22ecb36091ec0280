from pathlib import Path

import numpy as np
import pytest

from training.forecaster import baselines
from training.forecaster.data import Series

WEEK = np.array([10.0, 20, 30, 40, 50, 5, 1])


def _series(days: int = 140) -> Series:
    values = np.tile(WEEK, days // 7) + np.random.default_rng(0).normal(0, 0.5, days)
    return Series(source="shop", name="shop:sales", first_day=18000, values=values.astype("float32"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", baselines.FITTED)
def test_each_finds_the_week(name: str) -> None:
    answer = baselines.forecast(_series().values, name)
    assert answer.shape == (7, 10)
    np.testing.assert_allclose(answer[:, 0], WEEK, atol=3)
    assert (np.diff(answer[:, 1:], axis=1) >= 0).all()


def test_gaps_are_filled_from_the_week_before() -> None:
    values = np.tile(WEEK, 4)
    values[[2, 16, 23]] = np.nan
    filled = baselines.filled(values)
    np.testing.assert_array_equal(filled[3:], np.tile(WEEK, 4)[3:])
    assert filled[2] == np.nanmedian(values)


def test_what_was_forecast_is_kept_and_not_forecast_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def forecast(past: np.ndarray, name: str) -> np.ndarray:  # noqa: ARG001
        asked.append(len(past))
        return np.full((7, 10), float(len(past)))

    monkeypatch.setattr(baselines, "forecast", forecast)
    one = _series()
    (first,) = baselines.fitted([(one, np.array([100, 110]))], "AutoETS", tmp_path)
    assert first[:, 0, 0].tolist() == [100, 110]
    (again,) = baselines.fitted([(one, np.array([100, 105, 110]))], "AutoETS", tmp_path)
    assert again[:, 0, 0].tolist() == [100, 105, 110]
    assert asked == [100, 110, 105]
    changed = Series(source="shop", name="shop:sales", first_day=18000, values=one.values + 1)
    baselines.fitted([(changed, np.array([100]))], "AutoETS", tmp_path)
    assert asked[-1] == 100
    assert len(asked) == 4


def test_the_mean_is_that_of_each_series() -> None:
    several = [[np.full((2, 7, 10), value), np.zeros((1, 7, 10))] for value in (1.0, 3.0)]
    mean = baselines.mean_of(several)
    assert [float(one.mean()) for one in mean] == [2.0, 0.0]


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="Received: 'Prophet'"):
        baselines.forecast(_series().values, "Prophet")
