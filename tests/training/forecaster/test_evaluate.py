from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.forecaster.data import Series
from training.forecaster.evaluate import score, table
from training.forecaster.model import LEVELS

ROOT = Path(__file__).resolve().parents[3]
HEADING = "| MASE | seasonal naive MASE | scaled pinball loss | 80% coverage |"


def _last_value(history: tf.Tensor, end_day: tf.Tensor) -> dict[str, tf.Tensor]:  # noqa: ARG001
    """A forecaster that answers the last value, whatever the day and the level."""
    last = tf.repeat(history[:, -1:], 7, axis=1)
    return {"mean": last, "quantiles": tf.repeat(last[..., None], len(LEVELS), axis=-1)}


def test_scaled_errors_are_in_units_of_the_weekly_change_before_the_test_part() -> None:
    """The series grows by one a day, so by seven a week, until the test part, where it grows by two."""
    values = np.concatenate([np.arange(100), 99 + 2 * np.arange(1, 51)]).astype("float32")
    series = Series(source="shop", name="shop:sales", first_day=18000, values=values)
    (found,) = score(_last_value, [series], {"shop": 50})["shop"]
    assert found.origins == 44
    assert found.naive_mase == pytest.approx(found.naive_mae / 7)
    assert found.mase == pytest.approx(found.mae / 7)
    assert found.pinball == pytest.approx(found.mae / 2 / 7)  # half of the error, as levels lie evenly around 0.5
    assert found.naive_mae > 13


def test_a_series_that_repeats_itself_has_errors_but_no_scaled_ones() -> None:
    series = Series(source="shop", name="shop:sales", first_day=18000, values=np.arange(150, dtype="float32") % 7)
    (found,) = score(_last_value, [series], {"shop": 50})["shop"]
    assert found.mae > found.naive_mae == 0
    assert np.isnan([found.mase, found.naive_mase, found.pinball]).all()


def test_tables_name_the_unit_of_the_pinball_loss() -> None:
    series = Series(source="shop", name="shop:sales", first_day=18000, values=np.arange(150, dtype="float32") % 11)
    assert HEADING in table(score(_last_value, [series], {"shop": 50}))
    for page in ("docs/accuracy.md", "models/forecaster/1/assets.extra/model_card.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert " | scaled pinball loss | 80% coverage |" in text, page
        assert "naive MAE |" in text
        assert "pinball / naive" not in text


def test_the_shipped_card_says_how_long_a_history_may_be() -> None:
    card = (ROOT / "models/forecaster/1/assets.extra/model_card.md").read_text(encoding="utf-8")
    assert "at most 1120 days" in card
