"""`python -m training sketchrnn`: fit the classifier to drawings and export it."""

from pathlib import Path
from typing import Annotated

import keras
import typer

from training import fitting
from training.runlog import expect_same_run
from training.sketchrnn import data, generate, model


def train(
    folder: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of <class>.npz files (sketch-rnn layout). Default: generated drawings."),
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder for checkpoint, logs and curves.")] = Path("runs/sketchrnn"),
    models: Annotated[Path, typer.Option(help="Folder that receives sketchrnn/<version>.")] = Path("models"),
    epochs: Annotated[int, typer.Option(help="Epochs at most.")] = 18,
    batch_size: Annotated[int, typer.Option(help="Drawings a step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's decay, times the rate.")] = 0.02,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of a step's gradient.")] = 1.0,
    dropout: Annotated[float, typer.Option(help="Before the classes; a third of it after convolutions.")] = 0.3,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation accuracy.")] = 6,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and generated drawings.")] = 0,
    about: Annotated[
        str, typer.Option(help="For the model card: where the drawings are from, and their licence.")
    ] = "A folder of drawings in the sketch-rnn layout; the licence is that of the drawings.",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --run.")] = False,
) -> None:
    """Train the sketch classifier, then export it as the next version of models/sketchrnn."""
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
            "data": fitting.fingerprint(folder, "*.npz", "categories.txt"),
            "dropout": dropout,
        },
    )
    expect_same_run(options)
    sketches = data.load(folder) if folder else generate.sketches(seed=seed)
    trained, report = fit(sketches, options, dropout=dropout)

    from training.sketchrnn.export import export  # brings TensorFlow

    version = export(models, trained, sketches, report=report, options=options, about=about if folder else None)
    typer.echo(f"{report.monitor} {report.best[report.monitor]:.4f} in epoch {report.best_epoch + 1}: {version}")


def fit(
    sketches: data.Sketches, options: fitting.FitOptions, *, dropout: float = 0.3
) -> tuple[keras.Model, fitting.FitReport]:
    """The classifier, fitted to the training drawings and kept where it did best on the validation drawings."""
    train, valid = sketches.splits["train"], sketches.splits["valid"]

    def build() -> keras.Model:
        return model.build(len(sketches.classes), dropout=dropout)

    def batches(drawings: data.Drawings, augmentation: data.Augmentation | None) -> fitting.Batches:
        return fitting.Batches(
            len(drawings),
            options.batch_size,
            data.Collate(drawings, augmentation),
            seed=options.seed,
            shuffle=augmentation is not None,
            lengths=drawings.lengths,
        )

    fitting.start(options)
    fitted = build()
    report = fitting.fit(
        fitted,
        batches(train, data.Augmentation()),
        batches(valid, None),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5")],
        monitor="val_accuracy",
        mode="max",
        options=options,
    )
    return fitting.in_float32(fitted, build), report
