"""Two streams: one looks at frames, the other at what changes between them.

After Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos" (2014). The
motion stream correlates neighbouring frames at three scales, and a recurrent or convolutional layer follows the
clip from change to change.
"""

from typing import Any

import keras
from keras import layers, ops

from training.datasets.clip_store import FRAMES
from training.video.imagenet import mobilenet
from training.video.model import (
    Correlation,
    Light,
    Looks,
    VideoConfig,
    classifier,
    clip_input,
    convolution,
    course,
    fold,
    unfold,
)

LOOKS = (0, 5, 10, 15)  # the frames that the appearance stream sees
UNITS = 64


def build(classes: int, config: VideoConfig) -> keras.Model:
    frames = clip_input()
    fused = ops.concatenate([_motion(frames, config), _appearance(frames, config)], axis=-1)
    fused = layers.Dropout(config.dropout)(layers.Dense(UNITS, activation="relu", name="fuse")(fused))
    return classifier(frames, fused, classes)


def _appearance(frames: Any, config: VideoConfig) -> Any:
    """What is to be seen: [batch, features]."""
    values = Looks(LOOKS, dtype="float32", name="looks")(frames)
    if config.imagenet:
        values = mobilenet()(values)
    else:
        values = convolution(values / 127.5 - 1.0, 16, width=7, stride=4)
        for filters in (32, 48, 64):
            values = convolution(values, filters, stride=2)
    values = layers.GlobalAveragePooling2D()(values)
    values = ops.mean(unfold(values, len(LOOKS)), axis=1)
    return layers.Dropout(config.dropout)(values)


def _motion(frames: Any, config: VideoConfig) -> Any:
    """How it moves: [batch, features]."""
    light = Light(dtype="float32", name="light")(frames)
    fine = convolution(fold(light), 12, width=5, stride=2)
    middle = convolution(convolution(fine, 16, width=2, stride=2), 16)
    coarse = convolution(middle, 16, width=2, stride=2)

    change = convolution(_changes(fine), 24, width=2, stride=2)
    change = convolution(ops.concatenate([change, _changes(middle)], axis=-1), 24)
    change = convolution(change, 32, width=2, stride=2)
    change = convolution(ops.concatenate([change, _changes(coarse)], axis=-1), 40)
    change = layers.Flatten()(convolution(change, 16, width=1))  # where it moves matters: zoom and roll
    change = layers.Dropout(config.dropout)(layers.Dense(UNITS, activation="relu")(change))
    return course(unfold(change, FRAMES - 1), UNITS, config)


def _changes(features: Any) -> Any:
    """Match and difference of neighbouring frames: [batch * frames, ...] to [batch * (frames - 1), ...]."""
    features = unfold(features, FRAMES)
    return fold(ops.concatenate([Correlation()(features), features[:, 1:] - features[:, :-1]], axis=-1))
