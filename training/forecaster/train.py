"""`python -m training forecaster`: fit the forecaster to daily series and export it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import keras
import typer

from training import fitting
from training.forecaster import data, model
from training.forecaster.generated import generate
from training.runlog import expect_same_run

_SPLIT = "FILE=PART: where the test part begins, as a date, a number of days or a share. Default: the last 0.2."


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the series come from and which part of each is never seen in training."""

    folder: Path | None
    columns: Sequence[str] | None
    test_from: dict[str, data.TestFrom]
    generated: int
    seed: int

    def load(self) -> list[data.Series]:
        """The series of the folder, and as many generated ones as were asked for."""
        real = data.read(self.folder, self.columns) if self.folder else []
        return real + generate(self.generated, seed=self.seed)


def train(
    folder: Annotated[
        Path | None,
        typer.Option("--data", help="CSV file, or folder of them. Default: generated series only."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column to learn from, repeatable. Default: every numeric one.")
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help=_SPLIT)] = None,
    about: Annotated[
        str, typer.Option(help="For the model card: where the series are from, and their licence.")
    ] = "CSV files of daily series; the licence is that of the files.",
    generated: Annotated[int, typer.Option(help="Generated series to learn from as well.")] = 200,
    run: Annotated[Path, typer.Option(help="Folder for checkpoint, logs and curves.")] = Path("runs/forecaster"),
    models: Annotated[Path, typer.Option(help="Folder that receives forecaster/<version>.")] = Path("models"),
    epochs: Annotated[int, typer.Option(help="Epochs at most.")] = 9,
    steps: Annotated[int, typer.Option(help="Steps an epoch; windows are drawn anew for each.")] = 120,
    batch_size: Annotated[int, typer.Option(help="Windows a step.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's decay, times the rate.")] = 0.01,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of a step's gradient.")] = 1.0,
    units: Annotated[int, typer.Option(help="Width of both LSTMs.")] = 96,
    dropout: Annotated[float, typer.Option(help="Before and after the decoder.")] = 0.15,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation loss.")] = 12,
    seed: Annotated[int, typer.Option(help="Of weights, windows and generated series.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --run.")] = False,
) -> None:
    """Train the forecaster, then export it as the next version of models/forecaster."""
    test_from = parse_split(split or [])
    options = fitting.FitOptions(
        run=run,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        seed=seed,
        resume=resume,
        fixed={
            "data": fitting.fingerprint(folder, "*.csv"),
            "column": column,
            "split": {source: str(part) for source, part in test_from.items()},
            "generated": generated,
            "steps": steps,
            "units": units,
            "dropout": dropout,
        },
    )
    expect_same_run(options)
    sources = Sources(folder=folder, columns=column, test_from=test_from, generated=generated, seed=seed)
    series = sources.load()
    config = model.ForecasterConfig(units=units, dropout=dropout)
    trained, report = fit(series, sources.test_from, options, config=config, steps=steps)

    from training.forecaster.export import export  # brings TensorFlow

    version = export(
        models,
        trained,
        series,
        sources.test_from,
        report=report,
        options=options,
        about=about if folder else None,
    )
    typer.echo(f"{report.monitor} {report.best[report.monitor]:.4f} in epoch {report.best_epoch + 1}: {version}")


def fit(
    series: Sequence[data.Series],
    test_from: dict[str, data.TestFrom],
    options: fitting.FitOptions,
    *,
    config: model.ForecasterConfig | None = None,
    steps: int,
) -> tuple[keras.Model, fitting.FitReport]:
    """The forecaster, fitted to what lies before the test parts, and kept where it did best on validation."""
    train_spans, valid_spans, _ = data.split(series, test_from)
    windows, fixed = data.Windows(train_spans), data.FixedWindows(valid_spans)
    fitting.start(options)
    fitted = model.build(config)
    report = fitting.fit(
        fitted,
        fitting.Batches(steps * options.batch_size, options.batch_size, windows.collate, seed=options.seed),
        fitting.Batches(fixed.size, options.batch_size, fixed.collate, shuffle=False),
        loss=model.forecast_loss,
        monitor="val_loss",
        mode="min",
        options=options,
    )
    return fitting.in_float32(fitted, lambda: model.build(config)), report


def parse_split(given: Sequence[str]) -> dict[str, data.TestFrom]:
    """`["rail=2019-01-01", "nn5=56", "births=0.2"]` as a mapping from file name to where the test part begins."""
    parsed: dict[str, data.TestFrom] = {}
    for item in given:
        name, _, part = item.rpartition("=")
        try:
            parsed[name] = date.fromisoformat(part) if "-" in part else int(part) if part.isdigit() else float(part)
        except ValueError:
            name = ""
        if not name:
            raise typer.BadParameter(f"expected FILE=DATE, FILE=DAYS or FILE=SHARE. Received: {item}")
    return parsed
