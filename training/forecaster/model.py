"""An encoder-decoder LSTM that forecasts a week: the mean and nine quantiles of each day."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from training.forecaster.features import HORIZON, Window

LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
_HUBER = 1.5  # in scales; beyond it the loss of the mean grows linearly, so that one blizzard does not rule

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig:
    units: int = 96
    dropout: float = 0.15


def build(config: ForecasterConfig | None = None) -> keras.Model:
    """History [batch, time] and end_day [batch] to [batch, 7, 11]: mean, nine quantiles, scale.

    The encoder reads weeks, the decoder writes days, starting from the encoder's state. What they find is
    added, in units of `scale`, to the seasonal baseline. The scale is an output only for the loss.
    """
    config = config or ForecasterConfig()
    history = keras.Input((None,), dtype="float32", name="history")
    end_day = keras.Input((), dtype="int32", name="end_day")
    window = Window(name="window")(history, end_day)
    drop = layers.Dropout(config.dropout)

    _, *state = layers.LSTM(config.units, return_state=True, name="encoder")(window["weeks"])
    days = layers.Dense(config.units, activation="silu", name="days")(window["days"])
    decoded = layers.LSTM(config.units, return_sequences=True, name="decoder")(drop(days), initial_state=state)
    mixed = drop(layers.Concatenate()([decoded, days]))
    mixed = layers.Dense(config.units, activation="silu", name="mixed")(mixed)
    guesses = window["shortcuts"]
    trust = layers.Dense(
        guesses.shape[-1],
        activation="sigmoid",
        bias_initializer=keras.initializers.Constant(-3.0),
        name="trust",
    )(mixed)
    found = layers.Dense(1 + len(LEVELS), dtype="float32", name="found")(mixed)
    outputs = Outlook(name="outlook")(found, trust, guesses, window["baseline"], window["scale"])
    return keras.Model({"history": history, "end_day": end_day}, outputs, name="forecaster")


@keras.saving.register_keras_serializable("seqserve")
class Outlook(layers.Layer):
    """Turns what was found, in scales, into values that keep their order from quantile to quantile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32", "trainable": False}))

    def call(self, found: Tensor, trust: Tensor, guesses: Tensor, baseline: Tensor, scale: Tensor) -> Tensor:
        shared = ops.sum(trust * guesses, axis=-1, keepdims=True)
        middle = len(LEVELS) // 2
        steps = ops.softplus(found[..., 2:])
        below = -ops.flip(ops.cumsum(steps[..., :middle], axis=-1), axis=-1)
        above = ops.cumsum(steps[..., middle:], axis=-1)
        mean, median = found[..., :1] + shared, found[..., 1:2] + shared
        relative = ops.concatenate([mean, median + below, median, median + above], axis=-1)
        values = baseline[..., None] + scale[..., None] * relative
        return ops.concatenate([values, ops.tile(scale[:, None], (1, HORIZON, 1))], axis=-1)


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
