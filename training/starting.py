"""Begins a fit with the weights of an earlier one."""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import typer

from training.runlog import CHECKPOINT


def begin(model: keras.Model, sources: Sequence[Path], run: Path) -> None:
    """Begin with the sources, if any, unless the folder `run` holds a run: that has weights of its own by now.

    Says which weights were not taken over.
    """
    if not sources or (run / CHECKPOINT).exists():
        return
    if left := begin_with(model, sources):
        typer.echo(f"not taken from {' and '.join(map(str, sources))}, as classes are others: {', '.join(left)}")


def begin_with(model: keras.Model, sources: Sequence[Path]) -> list[str]:
    """Take the weights of a run's best epoch or of an exported version; returns the paths of those of other classes.

    With several sources, each goes to one member of the model, in their order.

    Raises:
        ValueError: a source is neither, or has other weights in more than the classes; then none are taken from it.
    """
    if len(sources) == 1:
        return _take(model, sources[0])
    members = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(members) != len(sources):
        raise ValueError(
            f"Expected one run or version to start from, or one for each of the {len(members)} members of {model.name}."
            f" Received: {len(sources)}"
        )
    return [path for member, source in zip(members, sources, strict=True) for path in _take(member, source)]


def told(source: Path) -> str:
    """Name a source, with the number of its epochs where it is still there."""
    if (source / CHECKPOINT).is_file():
        with np.load(source / CHECKPOINT) as saved:
            return f"{source.name} ({len(json.loads(str(saved['about']))['history'])} epochs)"
    facts = source / "assets.extra" / "training.json"
    if facts.is_file():
        return f"{source.parent.name}/{source.name} ({json.loads(facts.read_text())['epochs']} epochs)"
    return source.name


def _take(model: keras.Model, source: Path) -> list[str]:
    values = _read(source)
    if len(values) != len(model.weights):
        raise ValueError(
            f"Expected a run or version of {model.name}, which has {len(model.weights)} arrays of weights. "
            f"Received: {source} with {len(values)}"
        )
    pairs = list(zip(model.weights, values, strict=True))
    unlike = [(variable, value) for variable, value in pairs if tuple(variable.shape) != value.shape]
    for variable, value in unlike:
        if not variable.path.startswith("logits"):
            raise ValueError(
                f"Expected weights of shape {tuple(variable.shape)} for {variable.path}. "
                f"Received: {value.shape} in {source}"
            )
    for variable, value in pairs:
        if tuple(variable.shape) == value.shape:
            variable.assign(value)
    return [variable.path for variable, _ in unlike]


def _read(source: Path) -> list[np.ndarray]:
    if (source / CHECKPOINT).is_file():
        with np.load(source / CHECKPOINT) as saved:
            return [saved[name] for name in sorted(saved.files) if name.startswith("best/")]
    if not (source / "variables").is_dir():
        raise ValueError(f"Expected the folder of a run, or of an exported version. Received: {source}")
    import tensorflow as tf

    saved = tf.train.load_checkpoint(str(source / "variables" / "variables"))
    found: dict[int, np.ndarray] = {}
    for name in saved.get_variable_to_shape_map():
        if name.startswith("weights/"):
            found[int(name.split("/")[1])] = saved.get_tensor(name)
    return [found[i] for i in sorted(found) if found[i].dtype.kind == "f"]  # the others are states of generators
