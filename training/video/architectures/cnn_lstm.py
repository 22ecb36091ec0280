"""A 2D CNN on each frame, then a recurrent layer over its features (Donahue et al., LRCN, 2015).

Each step sees a frame and its change to the next: from single frames alone, features learnt on a few hundred clips
tell how something looks, but hardly how it moves.
"""

import keras
from keras import layers, ops

from training.datasets.clip_store import FRAMES
from training.video.imagenet import mobilenet
from training.video.model import (
    Colours,
    Looks,
    VideoConfig,
    classifier,
    clip_input,
    convolution,
    course,
    fold,
    unfold,
    with_change,
)

FILTERS = (24, 32, 48)
STEPS = FRAMES - 1
UNITS = 64


def build(classes: int, config: VideoConfig) -> keras.Model:
    frames = clip_input()
    colours = Colours(dtype="float32", name="colours")(frames)
    values = convolution(fold(with_change(colours)), 12, width=5, stride=2)
    for filters in FILTERS:
        values = convolution(values, filters, stride=2)
    values = layers.Flatten()(convolution(values, 24, width=1))
    if config.imagenet:
        seen = mobilenet()(Looks(tuple(range(STEPS)), dtype="float32", name="looks")(frames))
        values = ops.concatenate([values, layers.GlobalAveragePooling2D()(seen)], axis=-1)
    values = layers.Dropout(config.dropout)(layers.Dense(UNITS, activation="relu")(values))
    values = course(unfold(values, STEPS), UNITS, config)
    return classifier(frames, layers.Dropout(config.dropout)(values), classes)
