"""`python -m training video`: fit the clip classifier and export it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import keras
import numpy as np
import typer

from training import fitting
from training.datasets import camera_motion
from training.datasets.clips import SPLITS
from training.losses import classification
from training.options import conclude, fit_options
from training.runlog import CHECKPOINT, expect_same_run
from training.video import data
from training.video.architectures import ARCHITECTURES, COMPILED, DEFAULT, build
from training.video.model import VideoConfig

FOLDER = "Folder <split>/<class>/*.mp4|webm|avi|gif. Default: generated camera motion."
START = "Folder of an earlier run: begin with its weights where they fit. Good for few clips."
OVER = "For the card, without --data: measure the moves over single frames of the test clips in this folder, too."
MIRROR = "Learn from mirror images of the clips in --data, too; left and right are exchanged in the names of classes."
IMAGENET = "Download a network trained on ImageNet, and take from it how frames look."
KEEP = "The epoch with the best validation loss, or the last, where nothing may be chosen on the validation clips."

COMPILE = "Compile the steps with XLA: a slow start, then quick steps. Default: where that pays."

Keep = Literal["best", "last"]


@fit_options(run=Path("runs/video"), epochs=10, batch_size=32, learning_rate=2e-3, weight_decay=0.01, patience=6)
def train(
    folder: Annotated[Path | None, typer.Option("--data", help=FOLDER)] = None,
    models: Annotated[Path, typer.Option(help="Folder that receives video/<version>.")] = Path("models"),
    clips: Annotated[int, typer.Option(min=10, help="Training clips to generate, without --data.")] = 4000,
    over: Annotated[Path | None, typer.Option(help=OVER)] = None,
    arch: Annotated[str, typer.Option(help=f"Architecture: {', '.join(ARCHITECTURES)}.")] = DEFAULT,
    cell: Annotated[str, typer.Option(help="What follows the clip: lstm, gru, or conv (1D convolutions).")] = "lstm",
    imagenet: Annotated[bool, typer.Option("--imagenet", help=IMAGENET)] = False,
    dropout: Annotated[float, typer.Option(help="Share of features left out in training.")] = 0.2,
    recurrent_dropout: Annotated[float, typer.Option(help="The same from step to step in the recurrent layer.")] = 0.0,
    mirror: Annotated[bool, typer.Option(help=MIRROR)] = False,
    crop: Annotated[float, typer.Option(help="Least share of a side that is kept of the clips in --data.")] = 0.75,
    speed: Annotated[float, typer.Option(help="Least share of their time that is kept, and stretched.")] = 0.8,
    brightness: Annotated[float, typer.Option(help="Greatest change, as a share of the range.")] = 0.15,
    contrast: Annotated[float, typer.Option(help="Greatest change, as a share of the contrast.")] = 0.3,
    keep: Annotated[Keep, typer.Option(help=KEEP)] = "best",
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode or generate clips.")] = 2,
    start: Annotated[Path | None, typer.Option(help=START)] = None,
    compiled: Annotated[bool | None, typer.Option(help=COMPILE)] = None,
    *,
    options: fitting.FitOptions,
) -> None:
    """Train the clip classifier, then export it as the next version of models/video."""
    run, seed = options.run, options.seed
    config = VideoConfig(
        dropout=dropout, recurrent_dropout=recurrent_dropout, cell=cell, bptt=options.bptt, imagenet=imagenet
    )
    variation = data.Variation(crop=crop, speed=speed, brightness=brightness, contrast=contrast)
    options = replace(
        options,
        fixed={
            "data": fitting.fingerprint(folder, *(f"{split}/*/*" for split in SPLITS)),
            "clips": None if folder else clips,
            "arch": arch,
            "mirror": mirror,
            "variation": asdict(variation) if folder else None,
            "keep": keep,
            "start": str(start) if start else None,
            **asdict(config),
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
    if mirror and folder:
        variation = replace(variation, mirror=data.mirrored_labels(videos.classes))
    trained, report = fit(
        videos, options, arch=arch, config=config, variation=variation, keep=keep, start=start, compiled=compiled
    )

    def export() -> Path:
        from training.video.export import export as write  # brings TensorFlow

        return write(models, trained, videos, report=report, options=options, source=folder, arch=arch)

    conclude(options, report, export)


def fit(
    videos: data.Videos,
    options: fitting.FitOptions,
    *,
    arch: str = DEFAULT,
    config: VideoConfig | None = None,
    variation: data.Variation | None = None,
    keep: Keep = "best",
    start: Path | None = None,
    compiled: bool | None = None,
) -> tuple[keras.Model, fitting.FitReport]:
    """Fit the classifier to the training clips; it ends as it was in the epoch that `keep` names.

    variation: how clips of a folder are varied; generated ones are mirrored. start: the folder of a run whose weights
    to begin with, but for those of the classes where they are others. compiled: with XLA, which takes half a minute
    at first; by default where it makes every step faster on a CPU.
    """
    vary: data.Vary = camera_motion.mirrored if videos.generated else variation or data.Variation()

    def make() -> keras.Model:
        return build(arch, len(videos.classes), config)

    def batches(split: str, vary: data.Vary | None) -> fitting.Batches:
        clips = videos.splits[split]
        collate = data.Collate(clips, vary)
        return fitting.Batches(len(clips), options.batch_size, collate, seed=options.seed, shuffle=vary is not None)

    fitting.start(options)
    fitted = make()
    if start is not None:
        begin_with(fitted, start)
    report = fitting.fit(
        fitted,
        batches("train", vary),
        batches("valid", None),
        loss=classification(options.label_smoothing),
        metrics=["accuracy"],
        monitor="val_loss" if keep == "best" else "learning_rate",  # which is least in the last epoch
        mode="min",
        options=options,
        compiled=arch in COMPILED if compiled is None else compiled,
    )
    return fitting.in_float32(fitted, make), report


def begin_with(fitted: keras.Model, run: Path) -> None:
    """Take the best weights of an earlier run, but for those of another shape: the classes."""
    with np.load(run / CHECKPOINT) as saved:
        best = [saved[name] for name in sorted(saved.files) if name.startswith("best/")]
    if len(best) != len(fitted.weights):
        raise ValueError(f"expected a run of the video classifier. Received: {run} with {len(best)} weights")
    for variable, value in zip(fitted.weights, best, strict=True):
        if tuple(variable.shape) == value.shape:
            variable.assign(value)
