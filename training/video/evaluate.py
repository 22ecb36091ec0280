"""`python -m training evaluate video`: how often an exported classifier is right on clips that it has not seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from training.datasets import camera_motion
from training.datasets.clip_store import Clips, Frames
from training.datasets.clips import describe
from training.scores import Accuracy, hits
from training.video import data

BATCH = 8
FOLDER = "Folder <split>/<class>/*.mp4|webm|avi|gif. Default: generated camera motion."
OVER = "Make the moves of the camera over single frames of the clips in this folder."


def evaluate(
    folder: Annotated[Path | None, typer.Option("--data", help=FOLDER)] = None,
    over: Annotated[Path | None, typer.Option(help=OVER)] = None,
    model: Annotated[Path, typer.Option(help="Version directory of an exported classifier.")] = Path("models/video/1"),
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    clips: Annotated[int, typer.Option(min=10, help="Clips to generate, without --data.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of generated clips.")] = 0,
    cache: Annotated[Path, typer.Option(help="Folder for decoded clips.")] = Path("runs/video/clips"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode or generate clips.")] = 2,
) -> None:
    """Print top-1 accuracy of an exported classifier, of all clips and of each class."""
    listed = (model / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines()
    classes = describe(folder)[0] if folder is not None and over is None else camera_motion.CLASSES
    if listed != list(classes):
        raise ValueError(
            f"expected clips of the classes of {model}, {', '.join(listed)}. Received: {', '.join(classes)}"
        )
    if over is not None:
        videos = data.load_over(over, split, clips, cache=cache / "over", seed=seed, workers=workers)
    else:
        videos = data.load(folder, cache=cache, seed=seed, workers=workers, sizes={split: clips})
    if split not in videos.splits:
        raise ValueError(f"expected one of the splits {', '.join(videos.splits)}. Received: {split!r}")
    import tensorflow as tf

    served = tf.saved_model.load(str(model)).signatures["serving_default"]
    tested = videos.splits[split]
    _print(tested, predict(lambda frames: served(frames=tf.constant(frames))["probabilities"].numpy(), tested))


def predict(classify: Callable[[Frames], NDArray[np.float32]], clips: Clips) -> NDArray[np.float32]:
    """Give what `classify` answers for all clips, float32 [clips, classes]; it gets eight clips at a time."""
    parts = []
    for start in range(0, len(clips), BATCH):
        frames = clips.frames[start : start + BATCH]
        rows = len(frames)
        frames = np.pad(frames, [(0, BATCH - rows), *[(0, 0)] * 4])  # one shape, compiled once
        parts.append(classify(frames)[:rows])
    return np.concatenate(parts)


def _print(clips: Clips, probabilities: NDArray[np.float32]) -> None:
    from rich.console import Console
    from rich.table import Table

    right = hits(probabilities, clips.labels, 1)
    answers = probabilities.argmax(axis=1)
    table = Table("class", "clips", "top-1", "taken for", title="Share of right answers (95 % interval)")
    table.add_row("all", str(len(clips)), str(Accuracy.of(right)), "")
    for label, name in enumerate(clips.classes):
        part = clips.labels == label
        if part.any():
            wrong = np.bincount(answers[part & ~right], minlength=len(clips.classes))
            others = [f"{clips.classes[other]} {wrong[other]}" for other in np.argsort(-wrong)[:3] if wrong[other]]
            table.add_row(name, str(int(part.sum())), str(Accuracy.of(right[part])), ", ".join(others))
    Console().print(table)
