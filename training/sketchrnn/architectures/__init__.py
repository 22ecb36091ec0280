"""The classifiers of drawings that can be trained: all take strokes and answer logits, so all are served alike."""

from importlib import import_module

import keras

from training.sketchrnn.model import SketchConfig

ARCHITECTURES: tuple[str, ...] = ("lstm", "conv_bilstm", "cnn28", "residual_cnn", "fusion")
DEFAULT = "conv_bilstm"


def build(name: str, classes: int, config: SketchConfig | None = None) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes], not fitted yet."""
    expect_known(name)
    made: keras.Model = import_module(f"{__name__}.{name}").build(classes, config or SketchConfig())
    return made


def expect_known(name: str) -> None:
    """Refuse a name that is no architecture; cheap, so ask before data is read."""
    if name not in ARCHITECTURES:
        raise ValueError(f"Expected an architecture among {', '.join(ARCHITECTURES)}. Received: {name}")


def described(name: str) -> str:
    """One sentence on an architecture."""
    expect_known(name)
    return (import_module(f"{__name__}.{name}").__doc__ or "").strip().splitlines()[0]
