"""The classifiers of drawings that can be trained: all take strokes and answer logits, so all are served alike."""

from importlib import import_module

import keras

from training.sketchrnn.model import SketchConfig

ARCHITECTURES: tuple[str, ...] = ("lstm", "conv_bilstm", "cnn28", "residual_cnn", "fusion")
DEFAULT = "conv_bilstm"
_NOT_RECURRENT = ("cnn28", "residual_cnn")
_RECURRENT = ("cell", "recurrent_dropout", "bptt")


def build(name: str, classes: int, config: SketchConfig | None = None) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes], not fitted yet."""
    config = config or SketchConfig()
    expect_known(name, config)
    made: keras.Model = import_module(f"{__name__}.{name}").build(classes, config)
    return made


def expect_known(name: str, config: SketchConfig | None = None) -> None:
    """Refuse a name that is no architecture, and what it has no use for; cheap, so ask before data is read."""
    if name not in ARCHITECTURES:
        raise ValueError(f"Expected an architecture among {', '.join(ARCHITECTURES)}. Received: {name}")
    default = SketchConfig()
    given = config or default
    choices = [f"{c}={getattr(given, c)}" for c in _RECURRENT if getattr(given, c) != getattr(default, c)]
    if choices and name in _NOT_RECURRENT:
        raise ValueError(
            f"Expected no {', '.join(_RECURRENT)} for {name}, which has no recurrent layer. "
            f"Received: {', '.join(choices)}"
        )


def described(name: str) -> str:
    """One sentence on an architecture."""
    expect_known(name)
    return (import_module(f"{__name__}.{name}").__doc__ or "").strip().splitlines()[0]
