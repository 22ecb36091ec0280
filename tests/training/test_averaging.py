from pathlib import Path

import numpy as np
import pytest

from training.averaging import kept_weights
from training.fitting import Batches
from training.optimizers import optimizer

from .toy import LENGTHS, SIZE, collate, fit_toy, model, options


def test_the_average_of_the_weights_is_measured_and_kept(tmp_path: Path) -> None:
    plain, _ = fit_toy(options(tmp_path / "plain", epochs=3))
    averaged, report = fit_toy(options(tmp_path / "averaged", epochs=3, average=0.9))
    assert not np.allclose(plain.get_weights()[0], averaged.get_weights()[0])

    valid = Batches(SIZE, 16, collate, lengths=LENGTHS, shuffle=False)
    found = averaged.evaluate(valid, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx(report.best["val_accuracy"])
    assert found["loss"] == pytest.approx(report.best["val_loss"], rel=1e-5)


def test_averaging_leaves_the_steps_alone(tmp_path: Path) -> None:
    """The same losses in training, whatever validation sees: the weights are put back after it."""
    _, plain = fit_toy(options(tmp_path / "plain", epochs=3))
    _, averaged = fit_toy(options(tmp_path / "averaged", epochs=3, average=0.9))
    assert [row["loss"] for row in averaged.history] == [row["loss"] for row in plain.history]
    assert [row["val_loss"] for row in averaged.history] != [row["val_loss"] for row in plain.history]


def test_the_average_is_the_decayed_sum_of_the_weights_after_each_step(tmp_path: Path) -> None:
    made = model()
    made.compile(optimizer(options(tmp_path, average=0.8), 10), loss="mse")
    rng = np.random.default_rng(0)
    expected = None
    for _ in range(5):
        made.train_on_batch(rng.normal(size=(4, 5, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32"))
        weights = made.get_weights()[0]
        expected = weights if expected is None else 0.8 * expected + 0.2 * weights
    np.testing.assert_allclose(kept_weights(made)[0], expected, rtol=1e-5)
