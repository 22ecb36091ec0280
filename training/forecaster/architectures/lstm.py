"""LSTM 64, LSTM 32 and a dense layer of seven, on the last ten days: the smallest network that deserves the name.

The ten steps hold five features: by how much the day differed from its weekday's usual value (0 where it is missing),
whether it is there, whether it was a holiday, and sine and cosine of its place in the week. So the network has 30,567
weights: 17,920 + 12,416 + 231. What it answers is added to the usual week; the quantiles are those of a normal
distribution as wide as the last weeks were from their usual values, which the exporter's calibration then mends.
"""

from typing import Any

import keras
from keras import layers, ops

from training.forecaster.features import HORIZON
from training.forecaster.model import ForecasterConfig
from training.forecaster.outlook import Outlook, normal_steps

Tensor = Any

STEPS, FEATURES = 10, 5
_TYPICAL = 1.2533  # standard deviations in one mean absolute one, of a normal distribution


def core(config: ForecasterConfig) -> keras.Sequential:
    """[batch, 10, 5] to [batch, 7]."""
    drops = {"dropout": config.dropout, "recurrent_dropout": config.recurrent_dropout}
    return keras.Sequential(
        [
            keras.Input((STEPS, FEATURES)),
            layers.LSTM(64, return_sequences=True, **drops),
            layers.LSTM(32, **drops),
            layers.Dense(HORIZON, dtype="float32"),
        ],
        name="core",
    )


def outlook(window: dict[str, Tensor], config: ForecasterConfig) -> Tensor:
    """[batch, 7, 11] for a window."""
    found = core(config)(window["daily"][:, -STEPS:])
    steps = NormalSteps(name="steps")(window["spread"])
    return Outlook(name="outlook")(found, found, steps, window["baseline"], window["scale"])


@keras.saving.register_keras_serializable("seqserve")
class NormalSteps(layers.Layer):
    """Steps from quantile to quantile, [batch, 7, 8], of normal distributions by their mean deviation [batch, 1]."""

    def call(self, spread: Tensor) -> Tensor:
        steps = (_TYPICAL * spread + 1e-3)[:, :, None] * normal_steps()
        return ops.tile(steps, (1, HORIZON, 1))
