"""Two strided convolutions over sixteen weeks of days, a GRU over what they found, and a dense decoder of the week."""

from typing import Any

from keras import layers

from training.forecaster.cells import recurrent
from training.forecaster.features import HORIZON
from training.forecaster.model import ForecasterConfig
from training.forecaster.outlook import blended

Tensor = Any


def outlook(window: dict[str, Tensor], config: ForecasterConfig) -> Tensor:
    """[batch, 7, 11] for a window."""
    drop = layers.Dropout(config.dropout)
    found = layers.Conv1D(config.units, 7, strides=2, padding="causal", activation="silu", name="days_apart")(
        window["daily"]
    )
    found = layers.Conv1D(config.units, 5, strides=2, padding="causal", activation="silu", name="weeks_apart")(found)
    summary = recurrent(config, kind="gru", name="gru")(drop(found))
    days = layers.Dense(config.units, activation="silu", name="days")(window["days"])
    mixed = drop(layers.Concatenate()([layers.RepeatVector(HORIZON)(summary), days]))
    return blended(layers.Dense(config.units, activation="silu", name="mixed")(mixed), window)
