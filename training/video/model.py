"""The clip classifier: one stream looks at frames, the other at what changes between them.

Two streams after Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos"
(2014). The motion stream correlates neighbouring frames as FlowNet does (Dosovitskiy et al., 2015), at three
scales, and a recurrent layer follows the clip from change to change. Everything from raw pixels to logits is
in the graph.
"""

from typing import Any

import keras
from keras import layers, ops

from training.datasets.clip_store import FRAMES, SIDE

LOOKS = (0, 5, 10, 15)  # the frames that the appearance stream sees
UNITS = 64

Shape = tuple[int | None, ...]


class Light(layers.Layer):
    """Frames uint8 [batch, time, side, side, 3] to grey pictures of half the side, float32 [batch, time, ..., 1].

    Each clip is brought to mean 0 and deviation 1 as a whole, so that a dim camera moves as visibly as a
    bright one.
    """

    def call(self, frames: Any) -> Any:
        time, side = frames.shape[1], frames.shape[2] // 2
        light = ops.mean(ops.cast(frames, "float32"), axis=-1)
        light = ops.mean(ops.reshape(light, (-1, time, side, 2, side, 2)), axis=(3, 5))
        light = light - ops.mean(light, axis=(1, 2, 3), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(light), axis=(1, 2, 3), keepdims=True))
        return (light / (deviation + 1.0))[..., None]

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], shape[1], shape[2] // 2, shape[3] // 2, 1)


class Looks(layers.Layer):
    """A few of the frames, uint8 [batch, time, side, side, 3] to float32 [batch * looks, side, side, 3] around 0."""

    def call(self, frames: Any) -> Any:
        chosen = ops.stack([frames[:, look] for look in LOOKS], axis=1)
        chosen = ops.reshape(chosen, (-1, *frames.shape[2:]))
        return ops.cast(chosen, "float32") / 127.5 - 1.0

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (None, *shape[2:])


class Correlation(layers.Layer):
    """How well each place in a frame matches the nine places around it in the next.

    Features [batch, time, height, width, channels] to [batch, time - 1, height, width, 9]: the cosine of the
    angle between the features, for each displacement by up to one place. Coarser features see farther.
    """

    def call(self, features: Any) -> Any:
        features = features / ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-4)
        height, width = features.shape[2:4]
        before = features[:, :-1]
        after = ops.pad(features[:, 1:], [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]])
        matches = [
            ops.sum(before * after[:, :, down : down + height, right : right + width], axis=-1)
            for down in range(3)
            for right in range(3)
        ]
        return ops.stack(matches, axis=-1)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], shape[1] - 1, *shape[2:4], 9)


def _fold(values: Any) -> Any:
    """Put time into the batch: [batch, time, ...] to [batch * time, ...]."""
    return ops.reshape(values, (-1, *values.shape[2:]))


def _unfold(values: Any, time: int) -> Any:
    return ops.reshape(values, (-1, time, *values.shape[1:]))


def _convolution(values: Any, filters: int, width: int = 3, stride: int = 1) -> Any:
    values = layers.Conv2D(filters, width, strides=stride, padding="same", use_bias=False)(values)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(values))


def _changes(features: Any) -> Any:
    """Match and difference of neighbouring frames: [batch * frames, ...] to [batch * (frames - 1), ...]."""
    features = _unfold(features, FRAMES)
    return _fold(ops.concatenate([Correlation()(features), features[:, 1:] - features[:, :-1]], axis=-1))


def _appearance(frames: Any, dropout: float) -> Any:
    """What is to be seen: [batch, features]."""
    values = Looks(dtype="float32", name="looks")(frames)
    values = _convolution(values, 16, width=7, stride=4)
    for filters in (32, 48, 64):
        values = _convolution(values, filters, stride=2)
    values = layers.GlobalAveragePooling2D()(values)
    values = ops.mean(_unfold(values, len(LOOKS)), axis=1)
    return layers.Dropout(dropout)(values)


def _motion(frames: Any, dropout: float) -> Any:
    """How it moves: [batch, features]."""
    light = Light(dtype="float32", name="light")(frames)
    fine = _convolution(_fold(light), 12, width=5, stride=2)
    middle = _convolution(_convolution(fine, 16, width=2, stride=2), 16)
    coarse = _convolution(middle, 16, width=2, stride=2)

    change = _convolution(_changes(fine), 24, width=2, stride=2)
    change = _convolution(ops.concatenate([change, _changes(middle)], axis=-1), 24)
    change = _convolution(change, 32, width=2, stride=2)
    change = _convolution(ops.concatenate([change, _changes(coarse)], axis=-1), 40)
    change = layers.Flatten()(_convolution(change, 16, width=1))  # where it moves matters: zoom and roll
    change = layers.Dropout(dropout)(layers.Dense(UNITS, activation="relu")(change))

    # The generic kernel: what is exported must run where there is no GPU.
    lstm = layers.LSTM(UNITS, return_sequences=True, use_cudnn=False, name="lstm")
    course = lstm(_unfold(change, FRAMES - 1))
    return ops.concatenate([course[:, -1], ops.mean(course, axis=1)], axis=-1)


def build(classes: int, *, dropout: float = 0.2) -> keras.Model:
    """The classifier: frames uint8 [batch, 16, 112, 112, 3] to logits float32 [batch, classes]."""
    frames = keras.Input((FRAMES, SIDE, SIDE, 3), name="frames", dtype="uint8")
    fused = ops.concatenate([_motion(frames, dropout), _appearance(frames, dropout)], axis=-1)
    fused = layers.Dropout(dropout)(layers.Dense(UNITS, activation="relu", name="fuse")(fused))
    logits = layers.Dense(classes, dtype="float32", name="logits")(fused)
    return keras.Model(frames, logits, name="video")
