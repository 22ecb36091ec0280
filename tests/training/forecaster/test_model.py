import math

import keras
import numpy as np
import pytest
from keras import ops

from training.forecaster import model
from training.forecaster.features import CONTEXT, HORIZON, MEMORY, Window
from training.forecaster.generated import generate

DAY = 17000
NO_HOLIDAYS = np.zeros((1, HORIZON), "float32")


@pytest.fixture(scope="module")
def forecaster() -> keras.Model:
    keras.utils.set_random_seed(0)
    return model.build(model.ForecasterConfig(units=8))


def _ask(forecaster: keras.Model, history: np.ndarray, end_day: int = DAY) -> np.ndarray:
    outputs = model.answer(forecaster, history[None].astype("float32"), np.array([end_day], "int32"))
    return ops.convert_to_numpy(outputs)[0]


def _series(days: int) -> np.ndarray:
    return generate(1, seed=4, days=(days, days), kind="transport")[0].values


@pytest.mark.parametrize("end_day", [DAY, -1])
@pytest.mark.parametrize(("days", "before"), [(30, 50), (CONTEXT - 1, 1), (CONTEXT + 1, 500), (900, 500)])
def test_padding_with_nan_changes_nothing_at_all(forecaster: keras.Model, days: int, before: int, end_day: int) -> None:
    history = _series(days)
    padded = np.concatenate([np.full(before, np.nan), history])
    np.testing.assert_array_equal(_ask(forecaster, padded, end_day), _ask(forecaster, history, end_day))


@pytest.mark.parametrize("end_day", [DAY, -1])
@pytest.mark.parametrize("days", [7, 30, 84, CONTEXT - 13, CONTEXT - 1, CONTEXT])
def test_a_short_history_is_answered_as_if_it_came_after_years_of_missing_days(
    forecaster: keras.Model, days: int, end_day: int
) -> None:
    """A graph that leaves earlier years out answers histories up to CONTEXT; the one for all others would agree."""
    rng = np.random.default_rng(days)
    history = _series(days)
    history[rng.random(days) < 0.2] = np.nan
    history[-1] = 7.0
    flags = (rng.random((1, days + HORIZON)) < 0.1).astype("float32")
    flags[0, -3] = 1

    def ask(before: int) -> np.ndarray:
        longer = np.concatenate([np.full(before, np.nan), history])[None].astype("float32")
        flagged = np.concatenate([np.zeros((1, before), "float32"), flags], axis=1)
        return ops.convert_to_numpy(model.answer(forecaster, longer, np.array([end_day], "int32"), flagged))[0]

    short = ask(0)
    for before in (CONTEXT + 1 - days, MEMORY - days):
        np.testing.assert_allclose(ask(before), short, rtol=1e-4, atol=1e-4 * short[0, -1])


def test_holidays_before_a_short_history_count_as_known(forecaster: keras.Model) -> None:
    history, day = _series(60)[None], np.array([DAY], "int32")
    flags = np.zeros((1, 300), "float32")
    flags[0, 3] = 1
    expected = ops.convert_to_numpy(
        model.answer(forecaster, np.pad(history, [(0, 0), (300, 0)], constant_values=np.nan), day, flags)
    )
    found = ops.convert_to_numpy(model.answer(forecaster, history, day, flags))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected[0, 0, -1])


def test_days_beyond_the_memory_change_nothing(forecaster: keras.Model) -> None:
    history = _series(MEMORY)
    longer = np.concatenate([np.full(100, 1e6), history])
    np.testing.assert_array_equal(_ask(forecaster, longer), _ask(forecaster, history))


@pytest.mark.parametrize(
    "history",
    [
        np.zeros(30),
        np.full(200, 5.0),
        np.full(200, -1e30),
        np.full(30, np.nan),
        np.arange(7.0),
        np.r_[np.arange(500.0), np.full(200, np.nan)],
        np.r_[np.zeros(300), 1e9],
        np.random.default_rng(0).normal(size=1500) * 1e36,
    ],
    ids=["zeros", "constant", "huge", "missing", "week", "stopped", "jump", "wild"],
)
@pytest.mark.parametrize("end_day", [DAY, -1, 0, 2**31 - 1 - 2 * HORIZON])
def test_every_history_gets_finite_ordered_quantiles(
    forecaster: keras.Model, history: np.ndarray, end_day: int
) -> None:
    answer = _ask(forecaster, history, end_day)
    assert answer.shape == (HORIZON, 11)
    assert np.isfinite(answer).all()
    assert (np.diff(answer[:, 1:-1], axis=1) >= 0).all()


def test_a_constant_series_goes_on_as_it_was(forecaster: keras.Model) -> None:
    np.testing.assert_allclose(_ask(forecaster, np.full(100, 5.0))[:, :-1], 5.0, rtol=1e-3)


@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_units_do_not_matter(forecaster: keras.Model, factor: float) -> None:
    history = _series(300)
    expected = _ask(forecaster, history)
    np.testing.assert_allclose(_ask(forecaster, history * factor) / factor, expected, rtol=1e-5)


def test_any_negative_day_is_unknown(forecaster: keras.Model) -> None:
    history = _series(300)
    np.testing.assert_array_equal(_ask(forecaster, history, -1), _ask(forecaster, history, -4000))
    assert (_ask(forecaster, history, -1) != _ask(forecaster, history, DAY)).any()


def test_a_missing_day_is_taken_to_be_as_its_weekday_usually_is() -> None:
    weekly = np.tile([10.0, 20, 30, 40, 50, 5, 1], 30).astype("float32")
    gappy = weekly.copy()
    gappy[[-3, -10, -11, -30]] = np.nan
    day = np.array([DAY], "int32")
    whole, holey = (Window()(history[None], day, NO_HOLIDAYS) for history in (weekly, gappy))
    np.testing.assert_allclose(holey["baseline"][0], weekly[:7], rtol=1e-4)
    np.testing.assert_allclose(whole["baseline"][0], weekly[:7], rtol=1e-4)


def test_a_holiday_of_earlier_years_is_announced() -> None:
    calendar = np.arange(np.datetime64("2016-06-01"), np.datetime64("2018-12-22"))
    values = np.where([str(day)[5:] == "12-25" for day in calendar], 10.0, 100.0)
    values += np.random.default_rng(0).normal(0, 4, len(values))
    end_day = np.array([(calendar[-1] - np.datetime64("1970-01-01")).astype(int)], "int32")
    found = Window()(values[None].astype("float32"), end_day, NO_HOLIDAYS)
    guess = ops.convert_to_numpy(found["shortcuts"])[0, :, 1] * float(found["scale"][0, 0])
    assert guess[3] == pytest.approx(-90, abs=12)  # the 25th is the fourth day after the 21st
    assert np.abs(np.delete(guess, 3)).max() < 15


def test_the_loss_ignores_missing_targets_and_units() -> None:
    answer = np.tile(np.linspace(90, 110, 11, dtype="float32"), (1, HORIZON, 1))
    answer[..., -1] = 10
    targets = np.full((1, HORIZON), 100, "float32")
    full = float(model.forecast_loss(targets, answer)[0])
    assert math.isclose(float(model.forecast_loss(targets * 8, answer * 8)[0]), full, rel_tol=1e-6)
    targets[0, 3:] = np.nan
    assert math.isclose(float(model.forecast_loss(targets, answer)[0]), full, rel_tol=1e-6)
    assert float(model.forecast_loss(targets * np.nan, answer)[0]) == 0.0


def test_the_model_is_made_again_from_its_configuration(forecaster: keras.Model) -> None:
    again = keras.Model.from_config(forecaster.get_config())
    again.set_weights(forecaster.get_weights())
    history = _series(200)
    np.testing.assert_array_equal(_ask(again, history), _ask(forecaster, history))


def test_a_flagged_holiday_is_expected_to_be_like_the_last_flagged_one() -> None:
    """Its date moves, so that no rule but the flag can tell."""
    values = 100 + np.random.default_rng(0).normal(0, 4, 500).astype("float32")
    flags = np.zeros((1, 507), "float32")
    flags[0, [61, 200, 333, 431, 502]] = 1
    values[[61, 200, 333, 431]] -= 60
    day = np.array([-1], "int32")
    found = Window()(values[None], day, flags)
    guesses = ops.convert_to_numpy(found["shortcuts"])[0] * float(found["scale"][0, 0])
    plain = ops.convert_to_numpy(Window()(values[None], day, NO_HOLIDAYS)["shortcuts"])[0]
    overall = [k for k in range(guesses.shape[1]) if abs(guesses[2, k] + 60) < 10 and np.abs(plain[:, k]).max() == 0]
    assert overall
    assert np.abs(np.delete(guesses[:, overall[0]], 2)).max() == 0


@pytest.mark.parametrize("days", [30, 900])
def test_holidays_are_aligned_to_their_end(forecaster: keras.Model, days: int) -> None:
    history, end_day = _series(days)[None], np.array([DAY], "int32")
    flags = (np.random.default_rng(1).random((1, days + HORIZON)) < 0.05).astype("float32")
    flags[0, -3] = 1
    expected = ops.convert_to_numpy(model.answer(forecaster, history, end_day, flags))
    padded = np.concatenate([np.zeros((1, 300), "float32"), flags], axis=1)
    np.testing.assert_array_equal(model.answer(forecaster, history, end_day, padded), expected)
    unknown = ops.convert_to_numpy(model.answer(forecaster, history, end_day))
    assert (unknown != expected).any()
    np.testing.assert_array_equal(model.answer(forecaster, history, end_day, np.zeros_like(flags)), unknown)
