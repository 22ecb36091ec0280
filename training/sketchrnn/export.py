"""Exports a fitted classifier as a version of models/sketchrnn, with its card."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import saving
from training.fitting import FitOptions, FitReport
from training.scores import Accuracy, hits
from training.sketchrnn import architectures, data
from training.sketchrnn.mistakes import confused, hardest_classes
from training.starting import told

STROKES = saving.InputRule(axis=1, side="right", value=0.0, buckets=data.BUCKETS, min_length=1)
# A server compiles every length at every batch size, seconds each: few sizes keep its start short.
BATCHING = saving.Batching(allowed_batch_sizes=(1, 4, 16, 64))

CARD = """# SketchRNN classifier

Tells which of {classes} things a drawing shows, from the pen's movements.

- Input: `strokes` float32 [batch, time, 3], offsets in the sketch-rnn format: (dx, dy, pen lifted after this point),
  relative to the point before; the pen starts at the origin. Any scale; up to {longest} points. Rows of zeros at the
  right are padding.
- Output: `probabilities` [batch, {classes}], and the five best as `top_classes` and `top_scores`.
- Model: `{architecture}`, {parameters:,} parameters. {described}

## Data

{data}

| split | drawings |
|---|---|
{sizes}

Only the first {longest} points of a drawing are used. {varied}
Epochs were chosen on `valid`; nothing was fitted or chosen on `test`.

## Accuracy

{figures}

## Known failures

On `test`, {failures}

## Training

{begun}{epochs} epochs, of which number {best} was kept; batches of {batch}, {optimizer} with peak rate {rate:g}, weight
decay {decay:g}, gradients clipped at norm {clip:g}; seed {seed}. Made with Python packages {versions}.

## Good for, and not good for

{advice}
"""

VARIED = {
    "rotation": "rotated by up to {:g} radians",
    "stretch": "stretched by up to {:.0%}",
    "shear": "sheared by up to {:.0%}",
    "flip": "mirrored with probability {:g}",
    "jitter": "jittered by up to {:.1%} of their size",
    "drop": "thinned by up to {:.0%} of their points",
    "drop_strokes": "robbed of up to {:.0%} of their strokes",
}

GENERATED = "Drawings generated from parametric shapes with a hand's jitter; no licence applies."

ADVICE = """\
- Good for: quick doodles of one of these things, drawn with a pen, finger or mouse in one go; sorting and search where
  the five best answers are of use; a start for classes of your own.
- Not good for: drawings that are none of these things (it always answers with one of them, and its score is no measure
  of that); scans and photographs (it wants the order of the strokes); raw pen input of many hundred points, which
  should be simplified first (Ramer-Douglas-Peucker at 2 of 255 pixels).
- As easy or hard as its data: people who draw unprompted, or elsewhere, draw otherwise, so expect less in the wild."""
SHAPES_ADVICE = """\
- Good for: trying the whole path, from training to serving, where there is no data.
- Not good for: anything that a person drew."""


def export(
    models: Path,
    model: keras.Model,
    sketches: data.Sketches,
    *,
    report: FitReport,
    options: FitOptions,
    about: str | None = None,
) -> Path:
    """Write the next version of `models`/sketchrnn and return its directory.

    `about` says in the card where the drawings are from and under which licence; None stands for generated ones.
    """
    classes = list(sketches.classes)

    def core(strokes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": keras.ops.softmax(model(strokes, training=False))}

    return saving.export(
        models,
        "sketchrnn",
        model=model,
        core=core,
        inputs={"strokes": tf.TensorSpec([None, None, 3], tf.float32)},
        labels=classes,
        rules={"strokes": STROKES},
        batching=BATCHING,
        warmup=[{"strokes": sketches.splits["test"].padded(np.arange(count), data.BUCKETS)} for count in (1, 4)],
        card=card(model, sketches, report=report, options=options, about=about),
        facts={"architecture": model.name, **report.facts, "history": [dict(row) for row in report.history]},
    )


def card(
    model: keras.Model, sketches: data.Sketches, *, report: FitReport, options: FitOptions, about: str | None
) -> str:
    """The model card: what went in, what came out, and what it is good for."""
    logits = {split: predict(model, sketches.splits[split]) for split in ("valid", "test")}
    sources = [told(Path(source)) for source in options.fixed.get("start_from", ())]
    return CARD.format(
        classes=len(sketches.classes),
        longest=data.MAX_POINTS,
        architecture=model.name,
        described=architectures.described(model.name),
        parameters=model.count_params(),
        data=about or GENERATED,
        varied=varied(options),
        sizes="\n".join(f"| {split} | {len(drawings):,} |" for split, drawings in sketches.splits.items()),
        figures=_figures(logits, sketches),
        failures=_failures(logits["test"], sketches),
        begun=f"Begun with the weights of {' and '.join(sources)}. " if sources else "",
        optimizer=options.optimizer,
        epochs=len(report.history),
        best=report.best_epoch + 1,
        batch=options.batch_size,
        rate=options.learning_rate,
        decay=options.weight_decay,
        clip=options.clip_norm,
        seed=options.seed,
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("tensorflow", "keras", "numpy")),
        advice=ADVICE if about else SHAPES_ADVICE,
    )


def varied(options: FitOptions) -> str:
    """Say how the training drawings were varied."""
    bounds = asdict(data.Augmentation()) | options.fixed
    done = [said.format(bounds[name]) for name, said in VARIED.items() if bounds[name]]
    return (
        f"The training drawings were varied: {', '.join(done)}." if done else "The training drawings were not varied."
    )


def _figures(logits: Mapping[str, np.ndarray], sketches: data.Sketches) -> str:
    lines = ["| split | top-1 (95 % interval) | top-5 (95 % interval) |", "|---|---|---|"]
    for split, answers in logits.items():
        labels = sketches.splits[split].labels
        first, five = (Accuracy.of(hits(answers, labels, k)) for k in (1, 5))
        lines.append(f"| {split} | {first} | {five} |")
    return "\n".join(lines)


def _failures(logits: np.ndarray, sketches: data.Sketches) -> str:
    """The classes that it finds hardest, and what it takes most often for what."""
    labels, classes = sketches.splits["test"].labels, sketches.classes
    right = hits(logits, labels, 1)
    hardest = ", ".join(f"{classes[i]} ({100 * share:.0f} %)" for i, share in hardest_classes(right, labels)[:8])
    pairs = ", ".join(f"{classes[a]} for {classes[b]} ({n})" for a, b, n in confused(logits.argmax(axis=1), labels))
    return f"the hardest classes are {hardest}. The commonest mistakes: {pairs or 'none'}."


def predict(model: keras.Model, drawings: data.Drawings, batch: int = 256) -> np.ndarray:
    """Logits float32 [drawings, classes]."""
    order = np.argsort(drawings.lengths, kind="stable")
    parts = [
        model.predict_on_batch(drawings.padded(order[start : start + batch], data.BUCKETS))
        for start in range(0, len(order), batch)
    ]
    out = np.concatenate(parts)
    out[order] = out.copy()
    return out
