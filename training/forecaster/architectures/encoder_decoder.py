"""Sequence to sequence: an encoder reads sixteen weeks day by day, a decoder emits the seven days one by one.

Each day's step of the decoder sees the median that it emitted for the day before, as in Sutskever, Vinyals and Le
(2014), and the calendar and memory of its own day.
"""

from typing import Any

import keras
from keras import layers, ops

from training.forecaster.cells import cell, recurrent
from training.forecaster.features import HORIZON
from training.forecaster.model import ForecasterConfig
from training.forecaster.outlook import LEVELS, Outlook

Tensor = Any


def outlook(window: dict[str, Tensor], config: ForecasterConfig) -> Tensor:
    """[batch, 7, 11] for a window."""
    _, *state = recurrent(config, return_state=True, name="encoder")(window["daily"])
    days = layers.Dense(config.units, activation="silu", name="days")(window["days"])
    days = layers.Dropout(config.dropout)(days)
    found = OneByOne(config.cell, config.units, recurrent_dropout=config.recurrent_dropout, name="decoder")(days, state)
    mean, median, steps = Parts(name="parts")(found)
    return Outlook(name="outlook")(mean, median, steps, window["baseline"], window["scale"])


@keras.saving.register_keras_serializable("seqserve")
class OneByOne(layers.Layer):
    """Emits [batch, 7, 10] from days [batch, 7, features] and the encoder's state, each day after the one before."""

    def __init__(self, kind: str, units: int, recurrent_dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.kind, self.units, self.recurrent_dropout = kind, units, recurrent_dropout
        self.cell = cell(kind, units, recurrent_dropout=recurrent_dropout)
        self.emit = layers.Dense(1 + len(LEVELS), dtype="float32")

    def build(self, days_shape: tuple[int | None, ...], state_shape: Any = None) -> None:  # noqa: ARG002
        self.cell.build((days_shape[0], days_shape[-1] + 1))
        self.emit.build((days_shape[0], self.units))

    def call(self, days: Tensor, state: list[Tensor], training: bool | None = None) -> Tensor:
        emitted, found = ops.zeros_like(days[:, 0, :1]), []
        for day in range(HORIZON):
            step = ops.concatenate([days[:, day], emitted], axis=-1)
            output, state = self.cell(step, state, training=training)
            found.append(self.emit(output))
            emitted = ops.cast(ops.arcsinh(found[-1][:, 1:2]), days.dtype)
        return ops.stack(found, axis=1)

    def get_config(self) -> dict[str, Any]:
        options = {"kind": self.kind, "units": self.units, "recurrent_dropout": self.recurrent_dropout}
        return super().get_config() | options


@keras.saving.register_keras_serializable("seqserve")
class Parts(layers.Layer):
    """Mean, median and positive steps of what was emitted."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32"}))

    def call(self, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return found[..., 0], found[..., 1], ops.softplus(found[..., 2:])
