"""The default: an encoder reads the last sixteen weeks, week by week, and a decoder writes the seven days.

The encoder's steps are weeks, so that it is short however long the history; the decoder starts from its state and
sees, for each day, the calendar and what earlier years and simple methods say of it.
"""

from typing import Any

from keras import layers

from training.forecaster.cells import recurrent
from training.forecaster.model import ForecasterConfig
from training.forecaster.outlook import blended

Tensor = Any


def outlook(window: dict[str, Tensor], config: ForecasterConfig) -> Tensor:
    """[batch, 7, 11] for a window."""
    drop = layers.Dropout(config.dropout)
    _, *state = recurrent(config, return_state=True, name="encoder")(window["weeks"])
    days = layers.Dense(config.units, activation="silu", name="days")(window["days"])
    decoded = recurrent(config, return_sequences=True, name="decoder")(drop(days), initial_state=state)
    mixed = drop(layers.Concatenate()([decoded, days]))
    return blended(layers.Dense(config.units, activation="silu", name="mixed")(mixed), window)
