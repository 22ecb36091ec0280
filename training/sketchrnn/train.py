"""`python -m training sketchrnn`: fit a classifier to drawings and export it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import keras
import typer

from training import fitting
from training.losses import classification
from training.options import conclude, fit_options
from training.runlog import expect_same_run
from training.sketchrnn import architectures, data, generate
from training.sketchrnn.model import SketchConfig
from training.starting import begin

FOLDER = "Folder of <class>.npz files (sketch-rnn layout). Default: generated drawings."
START = "Run or exported version to begin with; for fusion one a member, in order: repeat it."
VARIED = data.Augmentation()


@fit_options(run=Path("runs/sketchrnn"), epochs=18, batch_size=128, learning_rate=2e-3, weight_decay=0.02, patience=6)
def train(
    folder: Annotated[Path | None, typer.Option("--data", help=FOLDER)] = None,
    models: Annotated[Path, typer.Option(help="Folder that receives sketchrnn/<version>.")] = Path("models"),
    arch: Annotated[str, typer.Option(help=", ".join(architectures.ARCHITECTURES))] = architectures.DEFAULT,
    start_from: Annotated[list[Path] | None, typer.Option(help=START)] = None,
    cell: Annotated[str, typer.Option(help="Of recurrent layers: lstm or gru.")] = "lstm",
    dropout: Annotated[float, typer.Option(help="Before the classes; a third of it after convolutions.")] = 0.3,
    recurrent_dropout: Annotated[float, typer.Option(help="Of the state of recurrent layers.")] = 0.0,
    rotation: Annotated[float, typer.Option(help="Largest turn of a drawing, in radians.")] = VARIED.rotation,
    stretch: Annotated[float, typer.Option(help="Of width against height, at most.")] = VARIED.stretch,
    shear: Annotated[float, typer.Option(help="At most.")] = VARIED.shear,
    flip: Annotated[float, typer.Option(help="Probability of a mirror image.")] = VARIED.flip,
    drop: Annotated[float, typer.Option(help="Share of points left out, at most.")] = VARIED.drop,
    drop_strokes: Annotated[float, typer.Option(help="Share of strokes left out, at most.")] = VARIED.drop_strokes,
    jitter: Annotated[float, typer.Option(help="Of points, as a share of the drawing, at most.")] = VARIED.jitter,
    about: Annotated[
        str, typer.Option(help="For the model card: where the drawings are from, and their licence.")
    ] = "A folder of drawings in the sketch-rnn layout; the licence is that of the drawings.",
    *,
    options: fitting.FitOptions,
) -> None:
    """Train a sketch classifier, then export it as the next version of models/sketchrnn."""
    config = SketchConfig(dropout=dropout, recurrent_dropout=recurrent_dropout, cell=cell, bptt=options.bptt)
    architectures.expect_known(arch, config)
    varied = data.Augmentation(rotation, stretch, shear, flip, drop, jitter, drop_strokes)
    fixed = {
        "data": fitting.fingerprint(folder, "*.npz", "categories.txt"),
        "arch": arch,
        "start_from": [str(source) for source in start_from or ()],
        **{name: value for name, value in asdict(config).items() if name != "bptt"},  # that is an option of every fit
        **asdict(varied),
    }
    options = replace(options, fixed=fixed)
    expect_same_run(options)
    sketches = data.load(folder) if folder else generate.sketches(seed=options.seed)
    trained, report = fit(sketches, options, arch=arch, config=config, augmentation=varied, start_from=start_from or ())

    def export() -> Path:
        from training.sketchrnn.export import export as write  # brings TensorFlow

        return write(models, trained, sketches, report=report, options=options, about=about if folder else None)

    conclude(options, report, export)


def fit(
    sketches: data.Sketches,
    options: fitting.FitOptions,
    *,
    arch: str = architectures.DEFAULT,
    config: SketchConfig | None = None,
    augmentation: data.Augmentation = VARIED,
    start_from: Sequence[Path] = (),
) -> tuple[keras.Model, fitting.FitReport]:
    """The classifier, fitted to the training drawings and kept where it did best on the validation drawings."""
    train, valid = sketches.splits["train"], sketches.splits["valid"]

    def build() -> keras.Model:
        return architectures.build(arch, len(sketches.classes), config)

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
    begin(fitted, start_from, options.run)
    report = fitting.fit(
        fitted,
        batches(train, augmentation),
        batches(valid, None),
        loss=classification(options.label_smoothing),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5")],
        monitor="val_accuracy",
        mode="max",
        options=options,
    )
    return fitting.in_float32(fitted, build), report
