"""Begins a fit with the weights of an earlier one."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from training.runlog import CHECKPOINT


def begin_with(model: keras.Model, sources: Sequence[Path]) -> None:
    """Take the weights of a run's best epoch or of an exported version, but for those of other classes.

    With several sources, each goes to one member of the model, in their order.
    """
    if len(sources) == 1:
        _take(model, sources[0])
        return
    members = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(members) != len(sources):
        raise ValueError(
            f"Expected one run or version to start from, or one for each of the {len(members)} members of {model.name}."
            f" Received: {len(sources)}"
        )
    for member, source in zip(members, sources, strict=True):
        _take(member, source)


def _take(model: keras.Model, source: Path) -> None:
    values = _read(source)
    if len(values) != len(model.weights):
        raise ValueError(
            f"Expected a run or version of {model.name}, which has {len(model.weights)} arrays of weights. "
            f"Received: {source} with {len(values)}"
        )
    for variable, value in zip(model.weights, values, strict=True):
        if tuple(variable.shape) == value.shape:
            variable.assign(value)
        elif not variable.path.startswith("logits"):
            raise ValueError(
                f"Expected weights of shape {tuple(variable.shape)} for {variable.path}. Received: {value.shape}"
            )


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
