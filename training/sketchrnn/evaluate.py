"""`python -m training evaluate sketchrnn`: how often an exported classifier is right on the test drawings."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.scores import Accuracy, hits
from training.sketchrnn import data, generate

BATCH = 64


def evaluate(
    folder: Annotated[
        Path | None, typer.Option("--data", help="Folder in the sketch-rnn layout. Default: generated drawings.")
    ] = None,
    model: Annotated[Path, typer.Option(help="Version directory of an exported classifier.")] = Path(
        "models/sketchrnn/1"
    ),
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    seed: Annotated[int, typer.Option(help="Of generated drawings.")] = 0,
) -> None:
    """Print top-1 and top-5 accuracy of an exported classifier, and the classes that it finds hardest."""
    if split not in data.SPLITS:
        raise ValueError(f"Expected a split among {', '.join(data.SPLITS)}. Received: {split}")
    sketches = data.load(folder, [split]) if folder else generate.sketches(seed=seed)
    listed = (model / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines()
    if listed != list(sketches.classes):
        raise ValueError(
            f"Expected data of the {len(listed)} classes of {model}. "
            f"Received: {len(sketches.classes)} classes, first {sketches.classes[:3]}"
        )
    drawings = sketches.splits[split]
    probabilities = predict(model, drawings)
    _print(sketches, drawings, probabilities)


def predict(version: Path, drawings: data.Drawings) -> np.ndarray:
    """Probabilities float32 [drawings, classes] from the exported signature."""
    import tensorflow as tf

    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    order = np.argsort(drawings.lengths, kind="stable")
    parts = []
    for start in range(0, len(order), BATCH):
        strokes = drawings.padded(order[start : start + BATCH], data.BUCKETS)
        rows = len(strokes)
        strokes = np.pad(strokes, [(0, BATCH - rows), (0, 0), (0, 0)])
        parts.append(served(strokes=tf.constant(strokes))["probabilities"].numpy()[:rows])
    found = np.concatenate(parts)
    out = np.empty_like(found)
    out[order] = found
    return out


def _print(sketches: data.Sketches, drawings: data.Drawings, probabilities: np.ndarray) -> None:
    from rich.console import Console
    from rich.table import Table

    first, five = (hits(probabilities, drawings.labels, k) for k in (1, 5))
    table = Table("drawings", "count", "top-1", "top-5", title="Share of right answers (95 % interval)")
    lengths = drawings.lengths
    parts = {"all": lengths > 0, "up to 32 points": lengths <= 32, "33 to 64": (lengths > 32) & (lengths <= 64)}
    parts["over 64"] = lengths > 64
    for name, part in parts.items():
        if part.any():
            figures = (str(Accuracy.of(right[part])) for right in (first, five))
            table.add_row(name, str(int(part.sum())), *figures)
    console = Console()
    console.print(table)
    shares = [(float(first[drawings.labels == label].mean()), name) for label, name in enumerate(sketches.classes)]
    shares.sort()
    for title, some in (("hardest", shares[:8]), ("easiest", shares[:-9:-1])):
        console.print(f"{title}: " + ", ".join(f"{name} {100 * share:.0f} %" for share, name in some))
