"""The recurrent layers of the architectures, as the options say."""

from typing import Any

from keras import layers

from training import recurrent as shared
from training.forecaster.model import ForecasterConfig

_CELLS = {"lstm": layers.LSTMCell, "gru": layers.GRUCell}


def recurrent(config: ForecasterConfig, kind: str = "", **options: Any) -> layers.RNN:
    """A recurrent layer of `config.units`, of `kind` or else of `config.cell`."""
    return shared.recurrent(
        kind or config.cell, config.units, bptt=config.bptt, recurrent_dropout=config.recurrent_dropout, **options
    )


def cell(kind: str, units: int, **options: Any) -> layers.Layer:
    """One step of such a layer. Raises ValueError for an unknown kind."""
    if kind not in _CELLS:
        raise ValueError(f"Expected a cell among {', '.join(_CELLS)}. Received: {kind!r}")
    return _CELLS[kind](units, **options)
