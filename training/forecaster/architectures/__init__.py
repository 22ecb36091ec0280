"""The forecaster's architectures: all take a window and answer with the same outlook."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from training.forecaster.model import ForecasterConfig

ARCHITECTURES = ("weekly", "lstm", "encoder_decoder", "conv_gru", "seasonal_naive")
DEFAULT = "weekly"


def build(name: str = DEFAULT, config: "ForecasterConfig | None" = None) -> "keras.Model":
    """History [batch, time], end_day [batch] and holidays [batch, time + 7] to [batch, 7, 11].

    The answer holds the mean, nine quantiles and the scale in which the loss is measured. Raises ValueError for a
    name that is not among ARCHITECTURES.
    """
    from training.forecaster.model import assemble

    return assemble(name, decoder(name), config)


def decoder(name: str) -> Any:
    """The function of one architecture that makes an outlook of a window."""
    if name not in ARCHITECTURES:
        raise ValueError(f"Expected an architecture among {', '.join(ARCHITECTURES)}. Received: {name!r}")
    return import_module(f"training.forecaster.architectures.{name}").outlook
