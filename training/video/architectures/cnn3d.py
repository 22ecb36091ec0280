"""Convolutions over space and time at once (Tran et al., "Learning Spatiotemporal Features with 3D CNNs", 2015)."""

from typing import Any

import keras
from keras import layers

from training.video.model import Colours, VideoConfig, classifier, clip_input, expect_default

FILTERS = ((12, (1, 2, 2)), (24, (2, 2, 2)), (40, (1, 2, 2)), (56, (2, 2, 2)))  # with the stride over time and space
UNITS = 64


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("cnn3d", config, "imagenet", "cell", "recurrent_dropout", "bptt")
    frames = clip_input()
    values = Colours(dtype="float32", name="colours")(frames)
    for filters, stride in FILTERS:
        values = _convolution(values, filters, stride=stride)
    values = layers.Flatten()(_convolution(values, 16, width=1))  # where and when it moves matters
    values = layers.Dropout(config.dropout)(values)
    values = layers.Dense(UNITS, activation="relu")(values)
    return classifier(frames, layers.Dropout(config.dropout)(values), classes)


def _convolution(values: Any, filters: int, width: int = 3, stride: int | tuple[int, ...] = 1) -> Any:
    values = layers.Conv3D(filters, width, strides=stride, padding="same", use_bias=False)(values)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(values))
