"""`python -m training video`: fit the clip classifier and export it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer

from training import fitting
from training.datasets import camera_motion
from training.datasets.clips import SPLITS
from training.losses import classification
from training.options import conclude, fit_options
from training.runlog import CHECKPOINT, expect_same_run
from training.video import data, model

FOLDER = "Folder <split>/<class>/*.mp4|webm|avi|gif. Default: generated camera motion."
START = "Folder of an earlier run: begin with its weights where they fit. Good for few clips."
OVER = "For the card, without --data: measure the moves over single frames of the test clips in this folder, too."


@fit_options(run=Path("runs/video"), epochs=10, batch_size=32, learning_rate=2e-3, weight_decay=0.01, patience=6)
def train(
    folder: Annotated[Path | None, typer.Option("--data", help=FOLDER)] = None,
    models: Annotated[Path, typer.Option(help="Folder that receives video/<version>.")] = Path("models"),
    clips: Annotated[int, typer.Option(min=10, help="Training clips to generate, without --data.")] = 4000,
    over: Annotated[Path | None, typer.Option(help=OVER)] = None,
    mirror: Annotated[bool, typer.Option(help="The mirror image of a clip in --data is of its class.")] = False,
    dropout: Annotated[float, typer.Option(help="Share of features left out in training.")] = 0.2,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode or generate clips.")] = 2,
    start: Annotated[Path | None, typer.Option(help=START)] = None,
    compiled: Annotated[bool, typer.Option(help="Compile with XLA: a slow start, then quick steps.")] = True,
    *,
    options: fitting.FitOptions,
) -> None:
    """Train the clip classifier, then export it as the next version of models/video."""
    run, seed = options.run, options.seed
    options = replace(
        options,
        fixed={
            "data": fitting.fingerprint(folder, *(f"{split}/*/*" for split in SPLITS)),
            "clips": None if folder else clips,
            "mirror": mirror,
            "dropout": dropout,
            "start": str(start) if start else None,
        },
    )
    expect_same_run(options)
    if over and folder:
        raise ValueError(f"expected either --data or --over. Received: {folder} and {over}")
    sizes = data.GENERATED | {"train": clips}
    videos = data.load(folder, cache=run / "clips", seed=seed, workers=workers, sizes=sizes)
    if over:
        real = data.load_over(over, "test", sizes["test"], cache=run / "clips" / "over", seed=seed, workers=workers)
        videos = data.with_test(videos, f"the moves over frames of {over.name}", real)
    trained, report = fit(videos, options, dropout=dropout, mirror=mirror, start=start, compiled=compiled)

    def export() -> Path:
        from training.video.export import export as write  # brings TensorFlow

        return write(models, trained, videos, report=report, options=options, source=folder)

    conclude(options, report, export)


def fit(
    videos: data.Videos,
    options: fitting.FitOptions,
    *,
    dropout: float = 0.2,
    mirror: bool = False,
    start: Path | None = None,
    compiled: bool = True,
) -> tuple[keras.Model, fitting.FitReport]:
    """Fit the classifier to the training clips; it ends as it was where it did best on the validation clips.

    start: the folder of a run whose weights to begin with, but for those of the classes where they are others.
    compiled: with XLA, which takes half a minute at first and makes every step four times as fast on a CPU.
    """
    vary: data.Vary = camera_motion.mirrored if videos.generated else data.Variation(mirror=mirror)

    def build() -> keras.Model:
        return model.build(len(videos.classes), dropout=dropout)

    def batches(split: str, vary: data.Vary | None) -> fitting.Batches:
        clips = videos.splits[split]
        collate = data.Collate(clips, vary)
        return fitting.Batches(len(clips), options.batch_size, collate, seed=options.seed, shuffle=vary is not None)

    fitting.start(options)
    fitted = build()
    if start is not None:
        begin_with(fitted, start)
    report = fitting.fit(
        fitted,
        batches("train", vary),
        batches("valid", None),
        loss=classification(options.label_smoothing),
        metrics=["accuracy"],
        monitor="val_loss",
        mode="min",
        options=options,
        compiled=compiled,
    )
    return fitting.in_float32(fitted, build), report


def begin_with(fitted: keras.Model, run: Path) -> None:
    """Take the best weights of an earlier run, but for those of another shape: the classes."""
    with np.load(run / CHECKPOINT) as saved:
        best = [saved[name] for name in sorted(saved.files) if name.startswith("best/")]
    if len(best) != len(fitted.weights):
        raise ValueError(f"expected a run of the video classifier. Received: {run} with {len(best)} weights")
    for variable, value in zip(fitted.weights, best, strict=True):
        if tuple(variable.shape) == value.shape:
            variable.assign(value)
