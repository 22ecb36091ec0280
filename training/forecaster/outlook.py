"""What every architecture ends in: what it found, in scales, becomes a mean and quantiles in the series' own units."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from training.forecaster.features import HORIZON

LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
MIDDLE = len(LEVELS) // 2

Tensor = Any


@keras.saving.register_keras_serializable("seqserve")
class Outlook(layers.Layer):
    """Mean and median, and four steps down and up from it, in scales, to values whose quantiles keep their order.

    Call with mean [batch, 7] and median [batch, 7], steps [batch, 7, 8] (positive; those below the median first, the
    lowest level first), baseline [batch, 7] and scale [batch, 1]. Returns [batch, 7, 11]: mean, nine quantiles, scale.

    `widths` [2] stretch the quantiles below and above the median: 1 in training, and set on validation data afterwards,
    so that intervals hold what they promise.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32"}))
        self.widths = self.add_weight(shape=(2,), initializer="ones", trainable=False, name="widths")

    def call(self, mean: Tensor, median: Tensor, steps: Tensor, baseline: Tensor, scale: Tensor) -> Tensor:
        below = -ops.flip(ops.cumsum(ops.flip(steps[..., :MIDDLE], axis=-1), axis=-1), axis=-1)
        above = ops.cumsum(steps[..., MIDDLE:], axis=-1)
        middle = median[..., None]
        relative = ops.concatenate(
            [mean[..., None], middle + self.widths[0] * below, middle, middle + self.widths[1] * above], axis=-1
        )
        values = baseline[..., None] + scale[..., None] * relative
        return ops.concatenate([values, ops.tile(scale[:, None], (1, HORIZON, 1))], axis=-1)


@keras.saving.register_keras_serializable("seqserve")
class Blend(layers.Layer):
    """Adds to what was found [batch, 7, 10] as much of each shortcut [batch, 7, kinds] as it is trusted.

    Returns mean [batch, 7], median [batch, 7] and steps [batch, 7, 8] for an Outlook.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32", "trainable": False}))

    def call(self, found: Tensor, trust: Tensor, guesses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = ops.sum(trust * guesses, axis=-1)
        return found[..., 0] + shared, found[..., 1] + shared, ops.softplus(found[..., 2:])


def blended(mixed: Tensor, window: dict[str, Tensor]) -> Tensor:
    """The output of an architecture that knows each day to forecast by features [batch, 7, any]."""
    guesses = window["shortcuts"]
    trust = layers.Dense(
        guesses.shape[-1],
        activation="sigmoid",
        bias_initializer=keras.initializers.Constant(-3.0),
        name="trust",
    )(mixed)
    found = layers.Dense(1 + len(LEVELS), dtype="float32", name="found")(mixed)
    mean, median, steps = Blend(name="blend")(found, trust, guesses)
    return Outlook(name="outlook")(mean, median, steps, window["baseline"], window["scale"])


def normal_steps() -> np.ndarray:
    """The eight steps from quantile to quantile of the standard normal distribution, outwards from its median."""
    ends = np.array([0.0, 0.253347, 0.524401, 0.841621, 1.281552], "float32")  # at 0.5 to 0.9
    return np.concatenate([np.diff(ends)[::-1], np.diff(ends)])
