import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
def full_precision() -> Iterator[None]:
    """Puts back the numbers that this machine computes in."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ("mixed_float16", {}),
        ("mixed_float16", {"average": 0.9}),
        ("float32", {"average": 0.9}),
        ("float32", {"optimizer": "adam"}),
        ("float32", {"optimizer": "rmsprop"}),
        ("float32", {"optimizer": "nadam"}),
        ("float32", {"optimizer": "sgd", "momentum": 0.8}),
    ],
)
def test_a_run_continues_after_any_epoch_as_if_it_had_never_stopped(
    tmp_path: Path, policy: str, changes: dict[str, Any]
) -> None:
    calls = itertools.count()
    given = options(tmp_path / "whole", epochs=2, **changes)
    half = replace(given, run=tmp_path / "half", resume=True)

    def keeps_a_copy(indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if next(calls) == 25:  # in the second epoch: one has twenty batches
            shutil.copytree(given.run, half.run)
        return collate(indices, rng)

    whole, expected = fit_toy(given, keeps_a_copy, policy=policy)
    fitted, report = fit_toy(half, policy=policy)

    assert (type(fitted.optimizer).__name__ == "LossScaleOptimizer") == (policy == "mixed_float16")
    assert [row["val_loss"] for row in report.history] == [row["val_loss"] for row in expected.history]
    for a, b in zip(fitted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _wait_for_lines(path: Path, lines: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and len(path.read_text().splitlines()) >= lines):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
