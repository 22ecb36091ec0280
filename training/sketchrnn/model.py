"""What every architecture of this family can be told, and the recurrent layer that they share."""

from dataclasses import dataclass

from keras import layers

from training import recurrent as cells


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """Choices that do not change what goes in and comes out."""

    dropout: float = 0.3  # before the classes; a third of it after convolutions over points
    recurrent_dropout: float = 0.0  # of the state, from step to step
    cell: str = "lstm"
    bptt: int = 0  # steps through which gradients flow back in recurrent layers; 0 for all

    def __post_init__(self) -> None:
        if self.cell not in cells.CELLS:
            raise ValueError(f"Expected a cell among {', '.join(cells.CELLS)}. Received: {self.cell}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share, from 0 up to 1. Received: {getattr(self, name)}")


def recurrent(units: int, config: SketchConfig, *, sequences: bool) -> layers.RNN:
    """A recurrent layer [batch, time, channels] to [batch, time, units], or to its last state without `sequences`."""
    return cells.recurrent(
        config.cell,
        units,
        bptt=config.bptt,
        return_sequences=sequences,
        recurrent_dropout=config.recurrent_dropout,
        use_cudnn=False,  # the generic kernel: what is exported must run where there is no GPU
    )
