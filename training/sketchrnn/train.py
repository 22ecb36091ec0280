"""`python -m training sketchrnn`: fit the classifier to drawings and export it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import keras
import typer

from training import fitting
from training.losses import classification
from training.options import conclude, fit_options
from training.runlog import expect_same_run
from training.sketchrnn import data, generate, model


@fit_options(run=Path("runs/sketchrnn"), epochs=18, batch_size=128, learning_rate=2e-3, weight_decay=0.02, patience=6)
def train(
    folder: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of <class>.npz files (sketch-rnn layout). Default: generated drawings."),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder that receives sketchrnn/<version>.")] = Path("models"),
    dropout: Annotated[float, typer.Option(help="Before the classes; a third of it after convolutions.")] = 0.3,
    about: Annotated[
        str, typer.Option(help="For the model card: where the drawings are from, and their licence.")
    ] = "A folder of drawings in the sketch-rnn layout; the licence is that of the drawings.",
    *,
    options: fitting.FitOptions,
) -> None:
    """Train the sketch classifier, then export it as the next version of models/sketchrnn."""
    options = replace(
        options, fixed={"data": fitting.fingerprint(folder, "*.npz", "categories.txt"), "dropout": dropout}
    )
    expect_same_run(options)
    sketches = data.load(folder) if folder else generate.sketches(seed=options.seed)
    trained, report = fit(sketches, options, dropout=dropout)

    def export() -> Path:
        from training.sketchrnn.export import export as write  # brings TensorFlow

        return write(models, trained, sketches, report=report, options=options, about=about if folder else None)

    conclude(options, report, export)


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
        loss=classification(options.label_smoothing),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5")],
        monitor="val_accuracy",
        mode="max",
        options=options,
    )
    return fitting.in_float32(fitted, build), report
