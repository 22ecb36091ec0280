import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from .toy import collate, fit_toy, options

HERE = Path(__file__).parent
EPOCHS = 6


def test_a_run_killed_in_an_epoch_continues_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "fit_slowly.py"), str(tmp_path / "killed"), str(EPOCHS)]
    with subprocess.Popen(command, cwd=HERE.parents[1], stdout=subprocess.DEVNULL) as process:
        _wait_for_lines(tmp_path / "killed" / "log.csv", 3, process)  # the heading and two epochs
        process.kill()
    assert process.returncode == -9

    fitted, report = fit_toy(options(tmp_path / "killed", epochs=EPOCHS, resume=True))
    whole, expected = fit_toy(options(tmp_path / "whole", epochs=EPOCHS))

    assert len(report.history) == EPOCHS
    assert report.best_epoch == expected.best_epoch
    for row, right in zip(report.history, expected.history, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in right.items() if k != "seconds"}
    for a, b in zip(fitted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((tmp_path / "killed").glob(".checkpoint*"))


@pytest.fixture
def half_precision() -> Iterator[str]:
    """The policy of a machine with a GPU, put back afterwards."""
    yield "mixed_float16"
    keras.config.set_dtype_policy("float32")


def test_a_run_in_half_precision_continues_as_if_it_had_never_stopped(tmp_path: Path, half_precision: str) -> None:
    calls = itertools.count()

    def breaks_off(indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        values, labels = collate(indices, rng)
        return values * np.float32(1 if next(calls) < 50 else "nan"), labels  # after two epochs of twenty

    with pytest.raises(FloatingPointError):
        fit_toy(options(tmp_path / "stopped"), breaks_off, policy=half_precision)
    fitted, report = fit_toy(options(tmp_path / "stopped", resume=True), policy=half_precision)
    whole, expected = fit_toy(options(tmp_path / "whole"), policy=half_precision)

    assert type(fitted.optimizer).__name__ == "LossScaleOptimizer"
    assert [row["val_loss"] for row in report.history] == [row["val_loss"] for row in expected.history]
    for a, b in zip(fitted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _wait_for_lines(path: Path, lines: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and len(path.read_text().splitlines()) >= lines):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
