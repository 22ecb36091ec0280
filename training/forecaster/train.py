"""`python -m training forecaster`: fit the forecaster to daily series and export it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from training import fitting
from training.forecaster import architectures, data, model, public_holidays
from training.forecaster.augment import Augmentation
from training.forecaster.fit import expect_fit, fit
from training.forecaster.generated import generate
from training.options import conclude, fit_options
from training.runlog import expect_same_run

_SPLIT = "FILE=PART: where the test part begins, as a date, a number of days or a share. Default: the last 0.2."
_HOLIDAYS = "FILE=COUNTRY or FILE=COUNTRY-SUBDIVISION: whose public holidays a file's series have. Default: not known."
_GAPS = "Share of windows with days taken out here and there."
_MASKED = "Share of windows with a span of days taken out."


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the series come from and which part of each is never seen in training."""

    folder: Path | None
    columns: Sequence[str] | None
    test_from: dict[str, data.TestFrom]
    generated: int
    seed: int
    holidays: dict[str, str]
    left_out: Sequence[str]

    def load(self) -> list[data.Series]:
        """The series of the folder but those left out, and as many generated ones as were asked for."""
        real = data.read(self.folder, self.columns) if self.folder else []
        if unknown := sorted(set(self.left_out) - {one.source for one in real}):
            raise data.DataError(f"expected the names of files to leave out. Received: {unknown}")
        flagged = public_holidays.flagged(real, self.holidays)  # first: a place may be that of a file left out
        return [one for one in flagged if one.source not in self.left_out] + generate(self.generated, seed=self.seed)


@fit_options(
    run=Path("runs/forecaster"),
    epochs=12,
    batch_size=256,
    learning_rate=2e-3,
    weight_decay=0.01,
    patience=12,
    leave_out=["label_smoothing"],
)
def train(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="CSV file, folder of them, or prepared dataset (daily_series/NAME). Default: generated series only.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column to learn from, repeatable. Default: every numeric one.")
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help=_SPLIT)] = None,
    holidays: Annotated[list[str] | None, typer.Option(help=_HOLIDAYS)] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="File to keep from the training altogether, to measure on it; repeatable.")
    ] = None,
    about: Annotated[
        str, typer.Option(help="For the model card: where the series are from, and their licence.")
    ] = "CSV files of daily series; the licence is that of the files.",
    generated: Annotated[int, typer.Option(help="Generated series to learn from as well.")] = 600,
    models: Annotated[Path, typer.Option(help="Folder that receives forecaster/<version>.")] = Path("models"),
    steps: Annotated[int, typer.Option(help="Steps an epoch; windows are drawn anew for each.")] = 120,
    arch: Annotated[
        str, typer.Option(help=f"One of {', '.join(architectures.ARCHITECTURES)}.")
    ] = architectures.DEFAULT,
    units: Annotated[int | None, typer.Option(help="Width of the layers; lstm has its own. Default: 96.")] = None,
    cell: Annotated[str | None, typer.Option(help="lstm or gru, of weekly and encoder_decoder. Default: lstm.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between layers. Default: 0.15.")] = None,
    recurrent_dropout: Annotated[float, typer.Option(help="On the state from step to step.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Noise on histories, in mean week-to-week changes.")] = 0.0,
    scaling: Annotated[float, typer.Option(help="Spread of the factor (its logarithm) on a window's swings.")] = 0.0,
    gaps: Annotated[float, typer.Option(help=_GAPS)] = 0.2,
    masked: Annotated[float, typer.Option(help=_MASKED)] = 0.15,
    *,
    options: fitting.FitOptions,
) -> None:
    """Train the forecaster, then export it as the next version of models/forecaster."""
    test_from = parse_split(split or [])
    places = public_holidays.parse(holidays or [])
    augmentation = Augmentation(jitter=jitter, scaling=scaling, gaps=gaps, masked=masked)
    shaping = {"units": units, "cell": cell, "bptt": options.bptt, "dropout": dropout}
    architectures.refuse_unused(arch, **shaping, recurrent_dropout=recurrent_dropout)
    expect_fit(arch, options)
    config = model.ForecasterConfig(
        architecture=arch,
        units=96 if units is None else units,
        cell=cell or "lstm",
        dropout=0.15 if dropout is None else dropout,
        recurrent_dropout=recurrent_dropout,
        bptt=options.bptt,
    )
    options = replace(
        options,
        fixed={
            "data": fitting.fingerprint(folder, "*.csv"),
            "column": column,
            "split": {source: str(part) for source, part in test_from.items()},
            "holidays": places,
            "leave_out": leave_out or [],
            "generated": generated,
            "steps": steps,
            "arch": arch,
            "units": config.units,
            "cell": config.cell,
            "dropout": config.dropout,
            "recurrent_dropout": recurrent_dropout,
            "jitter": jitter,
            "scaling": scaling,
            "gaps": gaps,
            "masked": masked,
        },
    )
    expect_same_run(options)
    sources = Sources(
        folder=folder,
        columns=column,
        test_from=test_from,
        generated=generated,
        seed=options.seed,
        holidays=places,
        left_out=leave_out or [],
    )
    series = sources.load()
    kept = {source: part for source, part in test_from.items() if source not in sources.left_out}
    trained, report = fit(series, kept, options, config=config, augmentation=augmentation, steps=steps)

    def export() -> Path:
        from training.forecaster.export import export as write  # brings TensorFlow

        return write(
            models,
            trained,
            series,
            kept,
            report=report,
            options=options,
            about=about if folder else None,
            left_out=sources.left_out,
        )

    conclude(options, report, export)


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
