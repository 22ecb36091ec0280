"""The clip classifiers that can be trained, one a file; all take the same frames and give logits."""

from importlib import import_module

import keras

from training.video.model import VideoConfig

ABOUT = {
    "two_stream": "a 2D CNN on four frames, and a recurrent or convolutional layer on the correlations and differences "
    "of neighbouring frames at three scales, fused by a dense layer",
    "cnn3d": "four convolutions over space and time",
    "cnn_lstm": "a 2D CNN on each frame and its change to the next, then a recurrent or convolutional layer",
    "convlstm": "two 2D convolutions on each frame and its change to the next, then a convolutional LSTM",
    "motion_statistics": "a linear layer on 74 statistics of frame differences and optical flow that need no learning",
    "relative_motion": "a linear layer on the statistics of motion_statistics and on 30 that compare the motion with "
    "itself, whatever the size and the way of what moves",
}
ARCHITECTURES: tuple[str, ...] = tuple(ABOUT)
DEFAULT = "two_stream"
COMPILED = ("two_stream", "motion_statistics")
"""Those that train faster on a CPU when XLA compiles their steps; it makes those of cnn3d ten times as slow."""
FIXED = {"motion_statistics": "statistics", "relative_motion": "statistics"}
"""The layer that needs no learning, of architectures of which only what follows it learns."""


def build(name: str, classes: int, config: VideoConfig | None = None) -> keras.Model:
    """The classifier of that name: frames uint8 [batch, 16, 112, 112, 3] to logits float32 [batch, classes].

    Raises ValueError where there is none of the name, or where it has no use for what `config` asks.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"expected one of the architectures {', '.join(ARCHITECTURES)}. Received: {name!r}")
    return import_module(f"{__name__}.{name}").build(classes, config or VideoConfig())
