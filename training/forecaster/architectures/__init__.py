"""The forecaster's architectures: all take a window and answer with the same outlook."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from training.forecaster.model import ForecasterConfig

ARCHITECTURES = ("weekly", "lstm", "encoder_decoder", "conv_gru", "seasonal_naive")
DEFAULT = "weekly"
UNTRAINED = ("seasonal_naive",)
_SHAPED_BY = {
    "weekly": ("units", "cell", "bptt", "dropout", "recurrent_dropout"),
    "lstm": ("dropout", "recurrent_dropout"),
    "encoder_decoder": ("units", "cell", "bptt", "dropout", "recurrent_dropout"),
    "conv_gru": ("units", "bptt", "dropout", "recurrent_dropout"),
    "seasonal_naive": (),
}


def build(name: str = DEFAULT, config: "ForecasterConfig | None" = None) -> "keras.Model":
    """History [batch, time], end_day [batch] and holidays [batch, time + 7] to [batch, 7, 11].

    The answer holds the mean, nine quantiles and the scale in which the loss is measured. Raises ValueError for a
    name that is not among ARCHITECTURES.
    """
    from training.forecaster.model import assemble

    return assemble(name, decoder(name), config)


def decoder(name: str) -> Any:
    """The function of one architecture that makes an outlook of a window."""
    _expect_known(name)
    return import_module(f"training.forecaster.architectures.{name}").outlook


def refuse_unused(name: str, **given: Any) -> None:
    """Refuse options that would change nothing in an architecture; those that were not given are None or 0."""
    _expect_known(name)
    unused = [option for option, value in given.items() if value and option not in _SHAPED_BY[name]]
    if unused:
        said = ", ".join(f"{option}={given[option]}" for option in unused)
        raise ValueError(
            f"Expected of {', '.join(given)} only {', '.join(_SHAPED_BY[name]) or 'none'} for {name}. Received: {said}"
        )


def _expect_known(name: str) -> None:
    if name not in ARCHITECTURES:
        raise ValueError(f"Expected an architecture among {', '.join(ARCHITECTURES)}. Received: {name!r}")
