"""An LSTM whose state is a picture, and whose gates convolve it (Shi et al., "Convolutional LSTM Network", 2015)."""

import keras
from keras import layers, ops

from training.datasets.clip_store import FRAMES
from training.video.model import (
    Colours,
    VideoConfig,
    classifier,
    clip_input,
    convolution,
    expect_default,
    fold,
    unfold,
    with_change,
)

FILTERS = 16
UNITS = 64


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("convlstm", config, "imagenet", "cell", "bptt")
    frames = clip_input()
    colours = Colours(dtype="float32", name="colours")(frames)
    values = convolution(fold(with_change(colours)), 12, width=5, stride=2)
    values = unfold(convolution(values, 24, stride=2), FRAMES - 1)
    values = layers.ConvLSTM2D(
        FILTERS, 3, padding="same", return_sequences=True, recurrent_dropout=config.recurrent_dropout, name="convlstm"
    )(values)
    values = ops.concatenate([values[:, -1], ops.mean(values, axis=1)], axis=-1)
    values = convolution(convolution(values, 32, stride=2), 16, width=1)
    values = layers.Dropout(config.dropout)(layers.Flatten()(values))
    values = layers.Dense(UNITS, activation="relu")(values)
    return classifier(frames, layers.Dropout(config.dropout)(values), classes)
