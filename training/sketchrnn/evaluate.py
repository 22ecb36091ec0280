"""`python -m training evaluate sketchrnn`: how often exported classifiers are right on drawings they have not seen."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.report import Models, Save, Section, facts, markdown_table, publish
from training.scores import hits
from training.sketchrnn import data, generate
from training.sketchrnn.comparison import Classifier, baseline_row, length_rows, model_row, robustness_rows
from training.sketchrnn.mistakes import confused, hardest_classes
from training.sketchrnn.plots import draw_classes, draw_confused, draw_curves

PLOTS = {
    "confused": "The commonest mistakes, with drawings that were so mistaken",
    "classes": "Right answers of every class, and the classes at both ends",
    "curves": "Accuracy on the validation drawings over the epochs of each fit",
}


def evaluate(
    folder: Annotated[
        Path | None, typer.Option("--data", help="Folder in the sketch-rnn layout. Default: generated drawings.")
    ] = None,
    model: Models = [Path("models/sketchrnn/1")],  # noqa: B006
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    robust: Annotated[bool, typer.Option(help="Change the drawings in several ways, too; ten times the work.")] = False,
    seed: Annotated[int, typer.Option(help="Of generated drawings.")] = 0,
    save: Save = None,
) -> None:
    """Print one table of exported classifiers, and of the first its accuracy by length and its mistakes."""
    if split not in data.SPLITS:
        raise ValueError(f"Expected a split among {', '.join(data.SPLITS)}. Received: {split}")
    sketches = data.load(folder, sorted({"train", split})) if folder else generate.sketches(seed=seed)
    classifiers = [Classifier.load(version) for version in model]
    for classifier in classifiers:
        if classifier.labels != tuple(sketches.classes):
            raise ValueError(
                f"Expected data of the {len(classifier.labels)} classes of {classifier.version}. "
                f"Received: {len(sketches.classes)} classes, first {list(sketches.classes[:3])}"
            )
    drawings = sketches.splits[split]
    answers = [classifier.predict(drawings) for classifier in classifiers]
    rows = [model_row(*found) for found in zip(classifiers, [drawings] * len(answers), answers, strict=True)]
    rows.append(baseline_row(sketches.splits["train"], drawings, len(sketches.classes)))
    parts = [f"On the {len(drawings):,} drawings of `{split}`, with intervals of 95%:", markdown_table(rows)]
    parts += [f"Of `{model[0]}`:", markdown_table(length_rows(drawings, answers[0]))]
    if robust:
        parts.append(markdown_table(robustness_rows(classifiers[0], drawings)))
    parts.append(_mistakes(sketches, drawings, answers[0]))
    plots = {}
    if save is not None:
        predicted = answers[0].argmax(axis=1)
        curves = draw_curves({str(version): facts(version).get("history", []) for version in model})
        plots = {
            "confused": draw_confused(sketches.classes, drawings, predicted),
            "classes": draw_classes(sketches.classes, predicted == drawings.labels, drawings.labels),
        } | ({"curves": curves} if curves is not None else {})
        parts += [f"![{PLOTS[name]}](accuracy/sketchrnn-{name}.png)" for name in plots]
    publish(Section(family="sketchrnn", markdown="\n\n".join(parts), plots=plots), save)


def _mistakes(sketches: data.Sketches, drawings: data.Drawings, probabilities: np.ndarray) -> str:
    found = hardest_classes(hits(probabilities, drawings.labels, 1), drawings.labels)
    named = [f"{sketches.classes[label]} {100 * share:.0f}%" for label, share in found]
    pairs = confused(probabilities.argmax(axis=1), drawings.labels)
    taken = [f"{sketches.classes[label]} for {sketches.classes[other]} ({often})" for label, other, often in pairs]
    return (
        f"- Hardest: {', '.join(named[:8])}.\n- Easiest: {', '.join(named[:-9:-1])}.\n"
        f"- Most often one is taken for the other: {', '.join(taken) or 'none'}."
    )
