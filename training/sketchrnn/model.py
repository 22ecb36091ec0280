"""What every architecture of this family can be told, and the recurrent layer that they share."""

from dataclasses import dataclass

from keras import layers

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """Choices that do not change what goes in and comes out; those that an architecture has no use for are ignored."""

    dropout: float = 0.3  # before the classes; a third of it after convolutions over points
    recurrent_dropout: float = 0.0  # of the state, from step to step
    cell: str = "lstm"

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"Expected a cell among {', '.join(CELLS)}. Received: {self.cell}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share, from 0 up to 1. Received: {getattr(self, name)}")


def recurrent(units: int, config: SketchConfig, *, sequences: bool) -> layers.RNN:
    """A recurrent layer [batch, time, channels] to [batch, time, units], or to its last state without `sequences`."""
    return CELLS[config.cell](
        units,
        return_sequences=sequences,
        recurrent_dropout=config.recurrent_dropout,
        use_cudnn=False,  # the generic kernel: what is exported must run where there is no GPU
    )
