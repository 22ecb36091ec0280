"""`python -m training forecaster`: fit the forecaster to daily series and export it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated

import keras
import typer

from training import fitting
from training.forecaster import data, model
from training.forecaster.generated import generate
from training.options import conclude, fit_options
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


@fit_options(
    run=Path("runs/forecaster"),
    epochs=9,
    batch_size=256,
    learning_rate=2e-3,
    weight_decay=0.01,
    patience=12,
    leave_out=["label_smoothing"],
)
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
    models: Annotated[Path, typer.Option(help="Folder that receives forecaster/<version>.")] = Path("models"),
    steps: Annotated[int, typer.Option(help="Steps an epoch; windows are drawn anew for each.")] = 120,
    units: Annotated[int, typer.Option(help="Width of both LSTMs.")] = 96,
    dropout: Annotated[float, typer.Option(help="Before and after the decoder.")] = 0.15,
    *,
    options: fitting.FitOptions,
) -> None:
    """Train the forecaster, then export it as the next version of models/forecaster."""
    test_from = parse_split(split or [])
    options = replace(
        options,
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
    sources = Sources(folder=folder, columns=column, test_from=test_from, generated=generated, seed=options.seed)
    series = sources.load()
    config = model.ForecasterConfig(units=units, dropout=dropout)
    trained, report = fit(series, sources.test_from, options, config=config, steps=steps)

    def export() -> Path:
        from training.forecaster.export import export as write  # brings TensorFlow

        given = about if folder else None
        return write(models, trained, series, sources.test_from, report=report, options=options, about=given)

    conclude(options, report, export)


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
