from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from training.forecaster import architectures, data
from training.forecaster.calibration import MOST, calibrate, last_year
from training.forecaster.data import Series


def _noise(days: int, size: float) -> Series:
    values = 100 + np.random.default_rng(0).normal(0, size, days)
    return Series(source="shop", name="shop:sales", first_day=18000, values=values.astype("float32"))


def test_intervals_hold_what_they_promise_where_they_were_calibrated() -> None:
    _, valid, _ = data.split([_noise(700, 10.0)], {})
    made, windows = architectures.build("seasonal_naive"), last_year(valid)
    made.get_layer("outlook").widths.assign(np.array([3.0, 3.0], "float32"))  # of an earlier calibration
    below, above = calibrate(made, windows)
    inputs, targets = windows.collate(np.arange(windows.size), np.random.default_rng(0))
    outputs = ops.convert_to_numpy(made(inputs, training=False))
    assert np.mean(targets < outputs[..., 1]) == pytest.approx(0.1, abs=0.02)
    assert np.mean(targets > outputs[..., 9]) == pytest.approx(0.1, abs=0.02)
    np.testing.assert_allclose(made.get_layer("outlook").widths, [below, above], rtol=1e-6)


def test_a_month_unlike_all_others_does_not_widen_them() -> None:
    quiet = _noise(900, 10.0)
    days = np.datetime64("1970-01-01") + quiet.first_day + np.arange(900)
    stormy = replace(
        quiet, values=np.where(days.astype("datetime64[M]") == np.datetime64("2021-02"), 5.0, 1.0) * quiet.values
    )
    assert (stormy.values != quiet.values).sum() == 28
    found = []
    for one in (quiet, stormy):
        _, valid, _ = data.split([one], {})
        found.append(calibrate(architectures.build("seasonal_naive"), last_year(valid)))
    np.testing.assert_allclose(found[1], found[0], rtol=0.15)


def test_every_file_counts_alike() -> None:
    near = _noise(700, 10.0)
    wild = 100 + np.random.default_rng(1).standard_t(1.5, 700).astype("float32")
    far = replace(near, source="far", values=wild)
    many = [replace(near, name=f"shop:{number}") for number in range(5)]
    made = architectures.build("seasonal_naive")
    of = {}
    for name, series in (("near", many), ("far", [far]), ("both", [*many, far])):
        _, valid, _ = data.split(series, {})
        of[name] = np.log(calibrate(made, last_year(valid)))
    assert np.abs(of["near"] - of["far"]).max() > 0.1
    np.testing.assert_allclose(of["both"], (of["near"] + of["far"]) / 2, atol=0.03)


def test_a_series_without_surprises_does_not_stretch_them_beyond_reason() -> None:
    steady = Series(source="shop", name="shop:sales", first_day=18000, values=np.arange(400, dtype="float32") ** 2)
    _, valid, _ = data.split([steady], {})
    factors = calibrate(architectures.build("seasonal_naive"), last_year(valid))
    assert max(factors) <= MOST


def test_a_year_ends_where_validation_does() -> None:
    _, valid, test = data.split([_noise(900, 1.0)], {})
    windows = last_year(valid)
    ends = [end for _, end in windows.windows]
    assert max(ends) + 7 == test[0].start
    assert min(ends) == test[0].start - 365
