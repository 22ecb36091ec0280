import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.forecaster import baselines, comparison, evaluate, robustness, rolling
from training.forecaster.data import Series
from training.forecaster.train import train

DAYS = np.datetime64("2024-01-01") + np.arange(220)


def _series(name: str = "shop:sales") -> Series:
    values = 50 + 10 * (np.arange(220) % 7) + np.random.default_rng(0).normal(0, 3, 220)
    return Series(source="shop", name=name, first_day=19723, values=values.astype("float32"))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seasonal naive forecast, made by the command, beside the data that it was made for."""
    out = tmp_path_factory.mktemp("evaluated")
    rows = "".join(f"{day},{value}\n" for day, value in zip(DAYS, _series().values, strict=True))
    (out / "shop.csv").write_text("day,sales\n" + rows)
    train(
        folder=out / "shop.csv",
        split=["shop=40"],
        holidays=["shop=US"],
        arch="seasonal_naive",
        generated=0,
        run=out / "run",
        models=out / "models",
    )
    return out / "models/forecaster/1"


def test_a_forecast_without_training_is_a_version_too(version: Path) -> None:
    facts = json.loads((version / "assets.extra/training.json").read_text())
    assert (facts["architecture"], facts["epochs"], facts["left_out"]) == ("seasonal_naive", 0, [])
    (part,) = rolling.groups([_series()], {"shop": 40})
    expected = rolling.forecasts(rolling.naive, part)[0][..., 0]
    for signature in ("serving_default", "with_holidays"):
        made = rolling.forecasts(evaluate.served(version, signature=signature), part)[0]
        np.testing.assert_allclose(made[..., 0], expected, rtol=1e-4)


def test_the_command_prints_and_saves_tables_and_plots(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baselines, "forecast", lambda past, name: np.full((7, 10), past[-7:].mean()))
    (tmp_path / "accuracy.md").write_text("before\n<!-- forecaster -->\n<!-- /forecaster -->\nafter\n")
    evaluate.evaluate(
        folder=version.parents[2] / "shop.csv",
        model=[version],
        split=["shop=40"],
        holidays=["shop=US"],
        every=["shop=8"],
        cache=tmp_path / "cache",
        save=tmp_path,
    )
    printed, page = capsys.readouterr().out, (tmp_path / "accuracy.md").read_text()
    for text in (
        "AutoARIMA",
        "their mean",
        "seasonal naive",
        "with_holidays",
        "8 days",
        "mean pinball loss",
        "missing",
    ):
        assert text in printed
        assert text in page
    assert page.startswith("before")
    for name in ("fans", "calibration"):
        assert 1000 < (tmp_path / f"accuracy/forecaster-{name}.png").stat().st_size < 100_000


def test_a_row_says_how_the_first_model_stands_against_the_best() -> None:
    (part,) = rolling.groups([_series()], {"shop": 40}, {"shop": 5})
    actual = part.targets()[0]
    rows = [
        comparison.Row(name, {}, [[np.repeat((actual + off)[..., None], 10, axis=-1)]])
        for name, off in (("ours", 0.9), ("AutoETS", 1.0), ("AutoARIMA", 2.0))
    ]
    markdown = comparison.section([part], rows).markdown
    assert "-10.0% (-10.0 to -10.0)" in markdown


def test_weeks_with_holidays_are_told_from_others() -> None:
    one = _series()
    one = replace(one, holidays=np.arange(220) == 200)
    (part,) = rolling.groups([one], {"shop": 40})
    actual = part.targets()[0]
    near = np.array([end <= 200 < end + 7 for end in part.origins[0]])
    off = np.where(near, 4.0, 1.0)[:, None, None] * part.units()[0]
    rows = [comparison.Row("ours", {}, [[np.repeat(actual[..., None] + off, 10, axis=-1)]])]
    markdown = comparison.section([part], rows).markdown
    assert "| shop:sales: holidays (7) | shop:sales: others (27) |" in markdown
    assert "| ours | 4.000 | 1.000 |" in markdown


def test_units_and_shifts_are_measured_in_the_units_that_the_series_then_has() -> None:
    (part,) = rolling.groups([_series()], {"shop": 40}, {"shop": 8})
    as_it_is = robustness.errors(rolling.naive, part, robustness.unchanged)
    for change in (robustness.thousandfold, robustness.offset):
        assert robustness.errors(rolling.naive, part, change) == pytest.approx(as_it_is, rel=1e-3)
    assert robustness.errors(rolling.naive, part, robustness.gaps) > as_it_is


def test_only_the_past_of_a_shifted_series_is_changed_before_its_origin() -> None:
    one = _series()
    shifted = robustness.level_shift(one, 100)
    np.testing.assert_array_equal(shifted.values[:86], one.values[:86])
    np.testing.assert_allclose(shifted.values[86:], one.values[86:] * 1.5)
    assert np.isnan(robustness.gaps(one, 100).values[:100]).mean() == pytest.approx(0.2, abs=0.1)
    assert replace(one, values=robustness.gaps(one, 100).values).values[100:].tolist() == one.values[100:].tolist()


@pytest.mark.parametrize("given", ["shop", "shop=0", "=3", "shop=x"])
def test_impossible_steps_are_refused(given: str) -> None:
    with pytest.raises(ValueError, match="expected FILE=DAYS"):
        evaluate.parse_every([given])
