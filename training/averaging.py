"""The exponential moving average of the weights: what is measured and kept where a run averages them.

The optimizer computes it; here it takes the place of the weights while the model is validated. After Polyak and
Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).
"""

from typing import Any

import keras
import numpy as np


def averages(model: keras.Model) -> dict[int, keras.Variable]:
    """The average of each trainable variable, by the variable's id; empty where the run averages nothing."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # in half precision there are two
    if not optimizer.use_ema:
        return {}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    return {id(variable): average for variable, average in pairs}


def kept_weights(model: keras.Model) -> list[np.ndarray]:
    """The weights to keep, in the order of `model.get_weights()`: averaged where there is an average.

    Statistics of batch normalisations have none and are those of the last step.
    """
    found = averages(model)
    return [found.get(id(variable), variable).numpy() for variable in model.weights]


class AverageInValidation(keras.callbacks.Callback):
    """Puts the averages into the model when a validation begins, and the weights back when it ends."""

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        found = averages(self.model)
        self.kept = [(v, v.numpy()) for v in self.model.trainable_variables if id(v) in found]
        for variable, _ in self.kept:
            variable.assign(found[id(variable)].numpy())

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        for variable, value in self.kept:
            variable.assign(value)
