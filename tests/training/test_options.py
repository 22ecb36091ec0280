import dataclasses
import inspect
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from training.fitting import FitOptions, FitReport
from training.options import HELP, conclude, fit_options
from training.runlog import CHECKPOINT

from .toy import fit_toy, options


def command(seen: list[FitOptions], **defaults: object) -> typer.Typer:
    """A command with one option of its own, which keeps what it is given."""

    @fit_options(**({"run": Path("runs/toy"), "epochs": 7} | defaults))
    def train(width: Annotated[int, typer.Option(help="Of its own.")] = 3, *, options: FitOptions) -> None:
        """Train a toy."""
        seen.append(dataclasses.replace(options, fixed={"width": width}))

    app = typer.Typer()
    app.command()(train)
    return app


def test_every_option_has_a_description() -> None:
    assert set(HELP) == {field.name for field in dataclasses.fields(FitOptions)} - {"fixed"}


def test_a_command_takes_its_own_options_and_the_shared_ones(tmp_path: Path) -> None:
    seen: list[FitOptions] = []
    asked = ["--width", "5", "--optimizer", "sgd", "--momentum", "0.5", "--average", "0.99", "--run", str(tmp_path)]
    done = CliRunner().invoke(command(seen), asked, catch_exceptions=False)
    assert done.exit_code == 0
    expected = FitOptions(run=tmp_path, epochs=7, optimizer="sgd", momentum=0.5, average=0.99, fixed={"width": 5})
    assert seen == [expected]


def test_what_a_family_cannot_use_is_no_option_of_its_command() -> None:
    app = command([], leave_out=["label_smoothing"])
    assert CliRunner().invoke(app, ["--label-smoothing", "0.1"]).exit_code == 2
    assert CliRunner().invoke(app, ["--optimizer", "lion"]).exit_code == 2


def test_defaults_of_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected defaults of .*epochs.*Received: epoch$"):
        fit_options(epoch=3)


def test_a_command_is_a_function_too(tmp_path: Path) -> None:
    seen: list[FitOptions] = []

    @fit_options(run=tmp_path)
    def train(width: int, *, options: FitOptions) -> None:
        seen.append(options)
        assert width == 4

    train(4, epochs=2)
    assert seen == [FitOptions(run=tmp_path, epochs=2)]
    assert list(inspect.signature(train).parameters)[:3] == ["width", "run", "epochs"]


def test_a_run_is_exported_with_its_own_options_and_best_weights(tmp_path: Path) -> None:
    fitted, report = fit_toy(options(tmp_path / "run", epochs=2, average=0.5))
    seen: list[FitOptions] = []
    asked = ["--export-only", "--run", str(tmp_path / "run")]
    CliRunner().invoke(command(seen), asked, catch_exceptions=False)
    assert (seen[0].epochs, seen[0].learning_rate, seen[0].average) == (2, 0.02, 0.5)
    only_weights(tmp_path / "run" / CHECKPOINT)
    metrics = tmp_path / "run" / "metrics.json"
    metrics.write_text('{"backend": "that of another machine"}')
    recalled, same = fit_toy(dataclasses.replace(seen[0], fixed={}))
    assert metrics.read_text() == '{"backend": "that of another machine"}'
    assert same.history == report.history
    assert same.facts == report.facts
    for a, b in zip(fitted.get_weights(), recalled.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def only_weights(checkpoint: Path) -> None:
    """Leave of a checkpoint what all backends and precisions have in common."""
    with np.load(checkpoint) as saved:
        kept = {name: saved[name] for name in saved.files if name == "about" or name.startswith("best/")}
    np.savez(checkpoint, **kept)


def test_only_a_run_can_be_exported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected a folder with a run.*Received"):
        CliRunner().invoke(command([]), ["--export-only", "--run", str(tmp_path)], catch_exceptions=False)


def test_the_outcome_names_the_version_or_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = FitReport(history=[{"val_loss": 0.25}], best_epoch=0, monitor="val_loss", seconds=1.0, run=tmp_path)
    conclude(FitOptions(run=tmp_path), report, lambda: Path("models/toy/1"))
    assert capsys.readouterr().out == "val_loss 0.2500 in epoch 1: models/toy/1\n"
    conclude(FitOptions(run=tmp_path, export=False), report, lambda: pytest.fail("exported"))
    assert capsys.readouterr().out == f"val_loss 0.2500 in epoch 1: {tmp_path}\n"
