from dataclasses import replace

import numpy as np
import pytest

from training.forecaster import holiday_weeks, rolling
from training.forecaster.data import DataError, Series
from training.forecaster.outlook import LEVELS

LAST = 1 + len(LEVELS)


def last_value(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """A forecaster that answers the last value, whatever the day and the level."""
    return np.repeat(np.repeat(inputs["history"][:, -1:], 7, axis=1)[..., None], LAST, axis=-1)


def _shop(values: np.ndarray, name: str = "shop:sales") -> Series:
    return Series(source="shop", name=name, first_day=18000, values=values.astype("float32"))


def _errors(forecaster: rolling.Forecaster, series: Series, days: int = 50) -> rolling.Errors:
    (group,) = rolling.groups([series], {"shop": days})
    return rolling.Errors.of(group, rolling.forecasts(forecaster, group))


def test_scaled_errors_are_in_units_of_the_weekly_change_before_the_test_part() -> None:
    """The series grows by one a day, so by seven a week, until the test part, where it grows by two."""
    series = _shop(np.concatenate([np.arange(100), 99 + 2 * np.arange(1, 51)]))
    ours, naive = _errors(last_value, series), _errors(rolling.naive, series)
    assert ours.absolute.shape == (1, 44, 7)
    assert ours.mae == pytest.approx(np.mean(2 * np.arange(1, 8)))
    assert ours.mase == pytest.approx(ours.mae / 7)
    assert ours.scaled_pinball == pytest.approx(ours.mae / 2 / 7)  # half of the error: levels lie evenly around 0.5
    assert naive.mase == pytest.approx(naive.mae / 7)
    assert naive.mae > 13


def test_a_series_that_repeats_itself_has_errors_but_no_scaled_ones() -> None:
    series = _shop(np.arange(150) % 7)
    assert _errors(last_value, series).mae > 0 == _errors(rolling.naive, series).mae
    assert np.isnan(_errors(last_value, series).mase)


def test_coverage_counts_days_between_the_outer_quantiles() -> None:
    def wide(inputs: dict[str, np.ndarray]) -> np.ndarray:
        answer = last_value(inputs)
        answer[..., 1:] += 10.0 * (np.array(LEVELS) - 0.5)  # from -4 to 4 around the last value
        return answer

    ours = _errors(wide, _shop(np.arange(150)))
    assert ours.coverage == pytest.approx(3 / 7)  # one, two and three days ahead; four is on the edge
    shares = [share for share, _ in ours.by_level()]
    assert shares == sorted(shares)


def test_days_without_a_value_do_not_count() -> None:
    values = np.arange(150.0)
    values[120] = np.nan
    ours = _errors(last_value, _shop(values))
    assert np.isnan(ours.absolute).sum() == 7 + 7  # as a target, and as the last value
    assert ours.mae == pytest.approx(4.0, abs=0.1)


def test_a_file_of_many_series_is_one_group_and_origins_can_be_thinned() -> None:
    many = [_shop(np.random.default_rng(k).random(150), f"shop:{k}") for k in range(6)]
    (group,) = rolling.groups(many, {"shop": 50}, {"shop": 10})
    assert group.name == "shop (6 series)"
    assert group.count == 6 * 5
    assert [int(end) for end in group.origins[0]] == [100, 110, 120, 130, 140]
    assert [one.name for one in rolling.groups(many[:2], {"shop": 50})] == ["shop:0", "shop:1"]
    assert rolling.Errors.of(group, rolling.forecasts(rolling.naive, group)).scaled_by_origin().shape == (5,)
    with pytest.raises(DataError, match=r"names of files to thin out .* Received: \['shops'\]"):
        rolling.groups(many, {"shop": 50}, {"shops": 10})


def test_series_of_one_file_may_be_of_different_lengths() -> None:
    """Each counts alike, as it does alone; those that end together are aligned by their last days."""
    many = [_shop(np.random.default_rng(k).random(150 + 10 * k), f"shop:{k}") for k in range(6)]
    (group,) = rolling.groups(many, {"shop": 0.2})
    assert len({len(ends) for ends in group.origins}) == 6
    made = rolling.forecasts(last_value, group)
    together = rolling.Errors.of(group, made)
    alone = [rolling.Errors.of(one, rolling.forecasts(last_value, one)) for k in range(6) for one in _groups(many[k])]
    assert together.mase == pytest.approx(np.mean([one.mase for one in alone]))
    assert together.coverage == pytest.approx(np.mean([one.coverage for one in alone]))
    most = max(map(len, group.origins))
    assert together.scaled_by_origin().shape == (most,)
    assert np.isfinite(together.scaled_by_origin()).all()
    np.testing.assert_allclose(together.absolute[0, -len(made[0]) :], alone[0].absolute[0])


def test_weeks_with_and_without_holidays_are_all_origins_of_series_of_different_lengths() -> None:
    many = [
        replace(_shop(np.arange(150.0 + 10 * k), f"shop:{k}"), holidays=np.arange(150 + 10 * k) == 140)
        for k in range(6)
    ]
    (group,) = rolling.groups(many, {"shop": 0.2})
    found = holiday_weeks.columns(group)
    assert found is not None
    holidays, others = found.values()
    assert holidays.sum() + others.sum() == group.count
    assert holidays.sum() == sum(np.isin(ends, range(134, 141)).sum() for ends in group.origins)
    errors = rolling.Errors.of(group, rolling.forecasts(last_value, group))
    assert holiday_weeks.mase(errors, holidays) == pytest.approx(holiday_weeks.mase(errors, others))


def _groups(series: Series) -> list[rolling.Group]:
    return rolling.groups([series], {"shop": 0.2})
