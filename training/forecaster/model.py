"""The forecaster as a Keras model: a window of the history, an architecture, and the loss that fits it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from training.forecaster import architectures
from training.forecaster.features import HORIZON, Window
from training.forecaster.outlook import LEVELS

_HUBER = 1.5  # in scales; beyond it the loss of the mean grows linearly, so that one blizzard does not rule

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig:
    """Which architecture, and its widths; not every one has a use for all of them."""

    architecture: str = architectures.DEFAULT
    units: int = 96
    cell: str = "lstm"
    dropout: float = 0.15
    recurrent_dropout: float = 0.0
    bptt: int = 0  # steps that gradients flow back through in encoders; 0 for all


def build(config: ForecasterConfig | None = None) -> keras.Model:
    """The model that a configuration describes."""
    config = config or ForecasterConfig()
    return architectures.build(config.architecture, config)


def assemble(
    name: str, outlook: Callable[[dict[str, Tensor], ForecasterConfig], Tensor], config: ForecasterConfig | None
) -> keras.Model:
    """A window of the inputs, and what an architecture makes of it."""
    history = keras.Input((None,), dtype="float32", name="history")
    end_day = keras.Input((), dtype="int32", name="end_day")
    holidays = keras.Input((None,), dtype="float32", name="holidays")
    window = Window(name="window")(history, end_day, holidays)
    outputs = outlook(window, config or ForecasterConfig(architecture=name))
    inputs = {"history": history, "end_day": end_day, "holidays": holidays}
    return keras.Model(inputs, outputs, name="forecaster")


def answer(model: keras.Model, history: Tensor, end_day: Tensor, holidays: Tensor | None = None) -> Tensor:
    """The model's outputs [batch, 7, 11]; without `holidays`, none are known."""
    if holidays is None:
        holidays = ops.zeros((ops.shape(history)[0], HORIZON), "float32")
    inputs = {"history": history, "end_day": end_day, "holidays": holidays}
    return model({name: ops.convert_to_tensor(value) for name, value in inputs.items()}, training=False)


@keras.saving.register_keras_serializable("seqserve")
def forecast_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Pinball loss of the quantiles plus Huber loss of the mean, in scales; missing targets do not count.

    `y_true` [batch, 7], `y_pred` [batch, 7, 11] as `build` returns it. Returns [batch].
    """
    seen = ops.cast(ops.logical_not(ops.isnan(y_true)), "float32")
    target = ops.where(seen > 0, y_true, 0.0)[..., None]
    # The floor keeps a jump after a constant history from outweighing everything else.
    scale = ops.maximum(y_pred[..., -1:], 0.01 * ops.abs(target))
    error = (target - y_pred[..., :-1]) / scale
    levels = np.asarray(LEVELS, "float32")
    pinball = ops.mean(ops.maximum(levels * error[..., 1:], (levels - 1) * error[..., 1:]), axis=-1)
    distance = ops.abs(error[..., 0])
    huber = ops.where(distance < _HUBER, ops.square(distance) / (2 * _HUBER), distance - _HUBER / 2)
    total = (2 * pinball + 0.5 * huber) * seen
    return ops.sum(total, axis=-1) / ops.maximum(ops.sum(seen, axis=-1), 1.0)


def split(outputs: Tensor) -> dict[str, Tensor]:
    """The signature's outputs: `mean` [batch, 7] and `quantiles` [batch, 7, 9]."""
    return {"mean": outputs[..., 0], "quantiles": outputs[..., 1:-1]}
