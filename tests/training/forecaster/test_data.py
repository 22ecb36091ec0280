import datetime
import logging
from pathlib import Path

import numpy as np
import pytest

from training.forecaster import data
from training.forecaster.features import MEMORY
from training.forecaster.generated import generate


def _write(folder: Path, text: str, name: str = "shop.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_gaps_between_dates_become_missing_values(tmp_path: Path) -> None:
    path = _write(tmp_path, "day,sales\n2024-02-28,1\n2024-03-02,4\n2024-02-29,\n")
    (series,) = data.read(path)
    assert series.name == "shop:sales"
    assert np.datetime64("1970-01-01") + series.first_day == np.datetime64("2024-02-28")
    np.testing.assert_array_equal(series.values, np.array([1, np.nan, np.nan, 4], "float32"))


def test_a_folder_gives_every_numeric_column(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(tmp_path, "kind,date,a,b\nW,2024-01-01,1,2\nU,2024-01-02,3,\n", "one.csv")
    _write(tmp_path, "ds,y\n2024-01-01 00:00:00,1.5\n", "two.csv")
    with caplog.at_level(logging.WARNING):
        names = [series.name for series in data.read(tmp_path)]
    assert names == ["one:a", "one:b", "two:y"]
    assert "one.csv: column 'kind' holds no numbers" in caplog.text


def test_columns_choose(tmp_path: Path) -> None:
    path = _write(tmp_path, "date,a,b\n2024-01-01,1,2\n")
    assert [series.name for series in data.read(path, ["b"])] == ["shop:b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,a\n2024-01-01,1\n2024-01-02,1\n2024-01-01,2\n", "one row a day in shop.csv, got 2024-01-01"),
        ("date,a\n01/02/2024,1\n", "dates such as 2019-05-31"),
        ("date,a\n2024-01-01,1\n,2\n", "one in every row"),
        ("date,a\n2024-01-01,inf\n", "finite numbers in column 'a' of shop.csv"),
        ("date,a\n2024-01-01,high\n", "at least one numeric column"),
        ("date,a\n", "at least one row in shop.csv"),
        ("", "a CSV file with a header in shop.csv"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(data.DataError, match=message):
        data.read(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("columns", "message"),
    [(["c"], r"columns \['c'\] in shop.csv"), (["kind"], "numbers in column 'kind'")],
)
def test_columns_that_cannot_be_used_are_refused(tmp_path: Path, columns: list[str], message: str) -> None:
    path = _write(tmp_path, "date,a,kind\n2024-01-01,1,W\n")
    with pytest.raises(data.DataError, match=message):
        data.read(path, columns)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match=r"nothing\.csv"):
        data.read(tmp_path / "nothing.csv")


def _series(length: int = 400) -> data.Series:
    values = np.arange(length, dtype="float32")
    return data.Series(source="shop", name="shop:a", first_day=19000, values=values)


@pytest.mark.parametrize(("part", "start"), [(56, 344), (0.25, 300), (datetime.date(2022, 11, 8), 304), (None, 320)])
def test_parts_follow_each_other_in_time(part: data.TestFrom | None, start: int) -> None:
    train, valid, test = data.split([_series()], {} if part is None else {"shop": part})
    assert (train[0].start, test[0].start, test[0].stop) == (0, start, 400)
    assert train[0].stop == valid[0].start
    assert valid[0].stop == start
    assert valid[0].stop - valid[0].start == round(start * 0.1)


def test_no_target_of_a_window_lies_outside_its_span() -> None:
    train, _, test = data.split([_series()], {"shop": 56})
    for span in (train[0], test[0]):
        targets = np.concatenate([data.window(span.series, int(end)).targets for end in data.ends(span)])
        assert targets.min() >= span.start
        assert targets.max() == span.stop - 1


@pytest.mark.parametrize("split", [{"bank": 56}, {"shop": datetime.date(1999, 1, 1)}, {"shop": 1000}])
def test_splits_that_fit_nothing_are_refused(split: dict[str, data.TestFrom]) -> None:
    with pytest.raises(data.DataError, match="Received"):
        data.split([_series()], split)


def test_a_window_is_the_past_and_the_next_week() -> None:
    history, end_day, holidays, targets = data.window(_series(), 30)
    assert holidays.shape == (MEMORY + 7,)
    assert history.shape == (MEMORY,)
    assert np.isnan(history[:-30]).all()
    np.testing.assert_array_equal(history[-30:], np.arange(30))
    assert end_day == 19029
    np.testing.assert_array_equal(targets, np.arange(30, 37))


def test_windows_follow_from_the_generator_and_can_be_learnt_from() -> None:
    spans, _, _ = data.split(generate(5, seed=1), {})
    windows = data.Windows(spans)
    inputs, targets = windows.collate(np.arange(200), np.random.default_rng(3))
    again, _ = windows.collate(np.arange(200), np.random.default_rng(3))
    np.testing.assert_array_equal(inputs["history"], again["history"])
    assert (np.isfinite(inputs["history"]).sum(axis=1) >= data.LEAST).all()
    assert np.isfinite(targets).any(axis=1).all()
    assert (inputs["end_day"] == -1).any()


def test_generated_series_are_the_same_for_the_same_seed() -> None:
    first, again, other = generate(3, seed=1), generate(3, seed=1), generate(3, seed=2)
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.values, same.values)
    assert len(first[0]) != len(other[0])
    assert all(np.isfinite(one.values).sum() > len(one) / 2 for one in first)


def test_real_series_are_read(shared_data: Path) -> None:
    series = {one.name: one for one in data.read(shared_data / "series")}
    assert len(series["cta_ridership:rail"]) == 6725
    assert "cta_ridership:day_type" not in series
    gaps = sum(np.isnan(one.values).sum() for one in series.values() if one.source == "nn5_daily")
    assert gaps == 1523
    assert len(series["daily-max-temperatures:Temperature"]) == 3287
