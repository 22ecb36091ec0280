"""`python -m training video`: fit the clip classifier and export it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import keras
import typer

from training import fitting
from training.datasets import camera_motion
from training.datasets.clips import SPLITS
from training.losses import classification
from training.options import conclude, fit_options
from training.runlog import expect_same_run
from training.starting import begin
from training.video import data
from training.video.architectures import ARCHITECTURES, COMPILED, DEFAULT, FIXED, build
from training.video.fixed import describe, split_after
from training.video.model import VideoConfig

FOLDER = "Folder <split>/<class>/*.mp4|webm|avi|gif. Default: generated camera motion."
START = "Run or exported version to begin with, but for its classes where they are others. Good for few clips."
OVER = "For the card, without --data: measure the moves over single frames of the test clips in this folder, too."
MIRROR = "Learn from mirror images of the clips in --data, too; left and right are exchanged in the names of classes."
IMAGENET = "Download a network trained on ImageNet, and take from it how frames look."
KEEP = "The epoch with the best validation loss, or the last, where nothing may be chosen on the validation clips."

COMPILE = "Compile the steps with XLA: a slow start, then quick steps. Default: where that pays."

CLIPS = 4000
Keep = Literal["best", "last"]


@fit_options(run=Path("runs/video"), epochs=10, batch_size=32, learning_rate=2e-3, weight_decay=0.01, patience=6)
def train(
    folder: Annotated[Path | None, typer.Option("--data", help=FOLDER)] = None,
    models: Annotated[Path, typer.Option(help="Folder that receives video/<version>.")] = Path("models"),
    clips: Annotated[int, typer.Option(min=10, help="Training clips to generate, without --data.")] = CLIPS,
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
    start_from: Annotated[list[Path] | None, typer.Option(help=START)] = None,
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
    if folder is None and (mirror or variation != data.Variation()):
        raise ValueError("expected --data with --mirror, --crop, --speed, --brightness and --contrast. Received: none")
    if folder and clips != CLIPS:
        raise ValueError(f"expected either --data or --clips. Received: {folder} and {clips}")
    if compiled and options.strategy != "none":
        raise ValueError(f"expected --compiled without --strategy. Received: --strategy {options.strategy}")
    options = replace(
        options,
        fixed={
            "data": fingerprint(folder),
            "clips": None if folder else clips,
            "arch": arch,
            "mirror": mirror,
            "variation": asdict(variation) if folder else None,
            "keep": keep,
            "start_from": [str(source) for source in start_from] if start_from else None,
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
        videos,
        options,
        arch=arch,
        config=config,
        variation=variation,
        keep=keep,
        start_from=start_from or (),
        compiled=compiled,
    )

    def export() -> Path:
        from training.video.export import export as write  # brings TensorFlow

        return write(models, trained, videos, report=report, options=options, source=folder, arch=arch)

    conclude(options, report, export)


def fingerprint(folder: Path | None) -> str:
    """Tell folders of clips apart, whether they are divided into splits or into classes alone."""
    splits = [split for split in SPLITS if folder and (folder / split).is_dir()]
    return fitting.fingerprint(folder, *([f"{split}/*/*" for split in splits] or ["[!.]*/*"]))


def fit(
    videos: data.Videos,
    options: fitting.FitOptions,
    *,
    arch: str = DEFAULT,
    config: VideoConfig | None = None,
    variation: data.Variation | None = None,
    keep: Keep = "best",
    start_from: Sequence[Path] = (),
    compiled: bool | None = None,
) -> tuple[keras.Model, fitting.FitReport]:
    """Fit the classifier to the training clips; it ends as it was in the epoch that `keep` names.

    variation: how clips of a folder are varied; generated ones are mirrored. start_from: a run or an exported version
    whose weights to begin with, but for those of the classes where they are others. compiled: with XLA, which takes
    half a minute at first; by default where it makes every step faster on a CPU.
    """
    vary: data.Vary = camera_motion.mirrored if videos.generated else variation or data.Variation()
    compiled = arch in COMPILED if compiled is None else compiled

    def make() -> keras.Model:
        return build(arch, len(videos.classes), config)

    fitting.start(options)
    fitted = learning = make()
    begin(fitted, start_from, options.run)
    collate: dict[str, fitting.Collate] = {
        "train": data.Collate(videos.splits["train"], vary),
        "valid": data.Collate(videos.splits["valid"]),
    }
    if arch in FIXED and not options.export_only:
        fixed, learning = split_after(fitted, FIXED[arch])
        for split, strayed in (("train", vary), ("valid", None)):
            clips = videos.splits[split]
            collate[split] = describe(fixed, clips, strayed, seed=options.seed, compiled=compiled)

    def batches(split: str) -> fitting.Batches:
        size, shuffle = len(videos.splits[split]), split == "train"
        return fitting.Batches(size, options.batch_size, collate[split], seed=options.seed, shuffle=shuffle)

    report = fitting.fit(
        learning,
        batches("train"),
        batches("valid"),
        loss=classification(options.label_smoothing),
        metrics=["accuracy"],
        monitor="val_loss",
        mode="min" if keep == "best" else "last",
        options=options,
        compiled=compiled,
    )
    return fitting.in_float32(fitted, make), report
