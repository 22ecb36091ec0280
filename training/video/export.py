"""Exports a fitted clip classifier as a version of models/video, with its card."""

import importlib.metadata
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import saving
from training.datasets.camera_motion import CLASSES, camera_clip
from training.datasets.clip_store import FRAMES, SIDE
from training.fitting import FitOptions, FitReport
from training.runlog import fixed_options
from training.scores import Accuracy, hits
from training.starting import told
from training.video.architectures import ABOUT, DEFAULT
from training.video.comparison import predict
from training.video.data import Variation, Videos

BATCHING = saving.Batching(max_batch_size=8, allowed_batch_sizes=(1, 2, 4, 8))

CARD = """# Video classifier

Tells which of {classes} classes a short clip belongs to: {names}.

- Input: `frames` uint8 [batch, {frames}, {side}, {side}, 3], RGB: {frames} frames evenly spaced over the clip
  (`numpy.linspace(0, n - 1, {frames})`, rounded), each resized whole, without keeping its proportions.
- Output: `probabilities` [batch, {classes}], and the best classes as `top_classes` and `top_scores`.
- Model: `{arch}`, {about_arch}; {parameters:,} parameters.

## Data

{about}

| split | clips |
|---|---|
{sizes}

## Accuracy

{figures}

Share of right answers with its 95 % interval. {chosen} nothing was fitted or chosen on
`test`.

## Training

{begun}{epochs} epochs, of which number {best} was kept; batches of {batch}, {optimizer} with peak rate {rate:g}, weight
decay {decay:g}, gradients clipped at norm {clip:g}; seed {seed}. Made with Python packages {versions}.

## Good for, and not good for

{advice}
"""

CHOSEN = {
    "best": "The epoch was chosen on `valid`;",
    "last": "The last epoch was kept, nothing chosen on `valid`;",
}

GENERATED = """\
Generated: a window that moves over a procedural texture (power-law noise, piles of shapes, strokes, grids), with an
unsteady hand, uneven sampling, objects that pass by, captions, flicker, noise and compression. The training clips
were mirrored across, down and in time, and named anew. No licence applies.

Classes are named for what the camera does: in `pan_left` it turns to the left, so the content moves to the right; in
`tilt_up` the content moves down; in `zoom_in` it grows; in `rotate_left` the camera rolls counter-clockwise, seen from
behind, and the content turns clockwise. In `shake` the camera trembles around one place."""
OWN = """\
A folder of clips: {folder}. The licence is that of the clips. {varied}"""
VARIED = {
    "crop": "cropped to {:.0%} of a side at least",
    "speed": "slowed, keeping {:.0%} of their time at least",
    "brightness": "brightened or darkened by up to {:.0%}",
    "contrast": "given up to {:.0%} more or less contrast",
}

MOTION_ADVICE = """\
- Good for: telling how the camera moves in a shot of one to a few seconds with one move; over the {frames} frames, pans
  and tilts of about a tenth to nine tenths of the frame, zooms from 1.1 to 2.1 times, rolls from 6 to 70 degrees.
- Not good for: what the clip shows (it has learnt nothing about it); two moves at once or one after the other, of which
  it names one; slower moves, which look still; objects that fill most of the picture and move by themselves; pictures
  with next to no detail, such as a clear sky; cuts."""
OWN_ADVICE = """\
- Good for: clips like those that it was trained on.
- Not good for: anything else; it always answers with one of its classes, and its score is no measure of that. The
  figures above tell how well it does on clips that it has not seen."""


def export(
    models: Path,
    model: keras.Model,
    videos: Videos,
    *,
    report: FitReport,
    options: FitOptions,
    source: Path | None,
    arch: str = DEFAULT,
) -> Path:
    """Write the next version of `models`/video and return its directory; `source` is None for generated clips."""

    def core(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": keras.ops.softmax(model(frames, training=False))}

    # One clip, as a clip is 600 KB and the batcher makes larger batches of it.
    frames = camera_clip(np.random.default_rng(0), CLASSES[1])[None]
    return saving.export(
        models,
        "video",
        model=model,
        core=core,
        inputs={"frames": tf.TensorSpec([None, FRAMES, SIDE, SIDE, 3], tf.uint8)},
        labels=videos.classes,
        rules={},
        batching=BATCHING,
        warmup=[{"frames": frames}],
        card=card(model, videos, report=report, options=options, source=source, arch=arch),
        facts={
            "architecture": arch,
            **report.facts,
            "clips": len(videos.splits["train"]),
            "options": {name: value for name, value in fixed_options(options).items() if name != "seed"},
            "history": [{name: round(value, 4) for name, value in row.items()} for row in report.history],
        },
    )


def card(
    model: keras.Model, videos: Videos, *, report: FitReport, options: FitOptions, source: Path | None, arch: str
) -> str:
    """The model card: what went in, what came out, and what it is good for."""
    packages = ("tensorflow", "keras", "numpy", "av")
    sources = options.fixed.get("start_from") or ()
    return CARD.format(
        classes=len(videos.classes),
        names=", ".join(f"`{name}`" for name in videos.classes),
        frames=FRAMES,
        side=SIDE,
        arch=arch,
        about_arch=ABOUT[arch],
        parameters=model.count_params(),
        about=GENERATED if source is None else OWN.format(folder=source.name, varied=varied(options)),
        sizes="\n".join(f"| {split} | {len(clips):,} |" for split, clips in videos.splits.items()),
        figures=_figures(model, videos),
        begun=f"Begun with the weights of {' and '.join(told(Path(source)) for source in sources)}. "
        if sources
        else "",
        epochs=len(report.history),
        best=report.best_epoch + 1,
        batch=options.batch_size,
        optimizer=options.optimizer,
        rate=options.learning_rate,
        decay=options.weight_decay,
        clip=options.clip_norm,
        seed=options.seed,
        chosen=CHOSEN[str(options.fixed.get("keep", "best"))],
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
        advice=MOTION_ADVICE.format(frames=FRAMES) if source is None else OWN_ADVICE,
    )


def varied(options: FitOptions) -> str:
    """Say how the training clips of a folder were varied."""
    bounds = options.fixed.get("variation") or asdict(Variation())
    unvaried = {"crop": 1.0, "speed": 1.0, "brightness": 0.0, "contrast": 0.0}
    done = [said.format(bounds[name]) for name, said in VARIED.items() if bounds[name] != unvaried[name]]
    done += ["mirrored, with left and right exchanged in the names of classes"] if options.fixed.get("mirror") else []
    return f"The training clips were varied: {', '.join(done)}." if done else "The training clips were not varied."


def _figures(model: keras.Model, videos: Videos) -> str:
    compiled = tf.function(lambda frames: model(frames, training=False), jit_compile=True, autograph=False)
    lines = ["| split | top-1 |", "|---|---|"]
    for split, clips in videos.splits.items():
        if split != "train":
            right = hits(predict(lambda frames: compiled(tf.constant(frames)).numpy(), clips.frames), clips.labels, 1)
            lines.append(f"| {split} | {Accuracy.of(right)} |")
    return "\n".join(lines)
