"""The simplest forecast: each day as the last one seen of its weekday. It has nothing to train.

The quantiles lie around it as far as the weeks of the last four months have differed from each other: half of the
changes from one week to the next were smaller than the distance of the quantiles 0.25 and 0.75.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from training.forecaster.features import HORIZON
from training.forecaster.model import ForecasterConfig
from training.forecaster.outlook import LEVELS, MIDDLE, Outlook

Tensor = Any


def outlook(window: dict[str, Tensor], config: ForecasterConfig) -> Tensor:  # noqa: ARG001
    """[batch, 7, 11] for a window."""
    last = LastSeen(name="last_seen")(window["residual"], window["residual_seen"])
    steps = PastChanges(name="past_changes")(window["changes"], window["changes_seen"])
    return Outlook(name="outlook")(last, last, steps, window["baseline"], window["scale"])


@keras.saving.register_keras_serializable("seqserve")
class LastSeen(layers.Layer):
    """The last value of each weekday, [batch, 7], of weeks [batch, weeks, 7], oldest first; 0 where there is none."""

    def call(self, values: Tensor, seen: Tensor) -> Tensor:
        last = ops.zeros_like(values[:, 0])
        for week in range(values.shape[1]):
            last = ops.where(seen[:, week] > 0, values[:, week], last)
        return last


@keras.saving.register_keras_serializable("seqserve")
class PastChanges(layers.Layer):
    """Steps from quantile to quantile, [batch, 7, 8], as past changes [batch, weeks, 7] have been distributed."""

    def call(self, changes: Tensor, seen: Tensor) -> Tensor:
        flat, there = (ops.reshape(part, (-1, part.shape[1] * 7)) for part in (changes, seen))
        ordered = ops.sort(ops.where(there > 0, flat, 1e9), axis=1)
        count = ops.sum(there, axis=1, keepdims=True)
        inside = np.array([2 * level - 1 for level in LEVELS[MIDDLE + 1 :]], "float32")
        place = inside * ops.maximum(count - 1, 0.0)
        low = ops.floor(place)
        share = place - low
        at = [ops.cast(ops.minimum(low + k, ops.maximum(count - 1, 0.0)), "int32") for k in (0, 1)]
        lower, upper = (ops.take_along_axis(ordered, where, axis=1) for where in at)
        # Nothing to go by: as far apart as one change usually is, which the scale is.
        reach = ops.where(count > 0, lower + share * (upper - lower), inside)
        outward = ops.diff(ops.pad(reach, [[0, 0], [1, 0]]), axis=1)
        steps = ops.concatenate([ops.flip(outward, axis=1), outward], axis=1)
        return ops.tile(steps[:, None], (1, HORIZON, 1))
