"""What the clip classifiers are made of: layers that look at frames, and at what changes between them.

Everything from raw pixels on is in the graph. The architectures put these parts together, one file each.
"""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from training.datasets.clip_store import FRAMES, SIDE
from training.recurrent import recurrent

CELLS = ("lstm", "gru", "conv")
FARTHEST = 2.0  # deviations from the mean: one odd number must not decide alone

Shape = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """What can be chosen of an architecture.

    dropout: share of features left out in training; recurrent_dropout: the same of what a recurrent layer hands
    from step to step; cell: the layer that follows a clip, "lstm", "gru" or "conv" (1D convolutions); bptt: steps
    through which gradients flow back, 0 for all; imagenet: take the appearance from a network trained on ImageNet.
    """

    dropout: float = 0.2
    recurrent_dropout: float = 0.0
    cell: str = "lstm"
    bptt: int = 0
    imagenet: bool = False

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"expected one of the cells {', '.join(CELLS)}. Received: {self.cell!r}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"expected {name} from 0 up to 1. Received: {getattr(self, name)}")
        if self.bptt < 0 or (self.bptt and self.cell == "conv"):
            raise ValueError(f"expected bptt of 0 or more, 0 with cell 'conv'. Received: {self.bptt}, {self.cell!r}")
        if self.recurrent_dropout and self.cell == "conv":
            raise ValueError(f"expected recurrent_dropout 0 with cell 'conv'. Received: {self.recurrent_dropout}")


def expect_default(arch: str, config: VideoConfig, *names: str) -> None:
    """Refuse choices that an architecture has no use for, rather than to leave them undone in silence."""
    asked = [name for name in names if getattr(config, name) != getattr(VideoConfig(), name)]
    if asked:
        received = ", ".join(f"{name}={getattr(config, name)}" for name in asked)
        raise ValueError(
            f"expected no {' and no '.join(asked)} for {arch}, which has no use for it. Received: {received}"
        )


class Light(layers.Layer):
    """Frames uint8 [batch, time, side, side, 3] to grey pictures of half the side, float32 [batch, time, ..., 1].

    Each clip is brought to mean 0 and deviation 1 as a whole, so that a dim camera moves as visibly as a
    bright one.
    """

    def call(self, frames: Any) -> Any:
        light = shrunk(ops.mean(ops.cast(frames, "float32"), axis=-1, keepdims=True), 2)
        light = light - ops.mean(light, axis=(1, 2, 3, 4), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(light), axis=(1, 2, 3, 4), keepdims=True))
        return light / (deviation + 1.0)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], shape[1], shape[2] // 2, shape[3] // 2, 1)


class Colours(layers.Layer):
    """Frames uint8 [batch, time, side, side, 3] to small pictures, float32 [batch, time, side / shrink, ..., 3].

    Each clip is brought to mean 0 and deviation 1 as a whole; its colours keep their proportions.
    """

    def __init__(self, shrink: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.shrink = shrink

    def call(self, frames: Any) -> Any:
        small = shrunk(ops.cast(frames, "float32"), self.shrink)
        small = small - ops.mean(small, axis=(1, 2, 3, 4), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(small), axis=(1, 2, 3, 4), keepdims=True))
        return small / (deviation + 1.0)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (*shape[:2], shape[2] // self.shrink, shape[3] // self.shrink, shape[4])


class Looks(layers.Layer):
    """A few of the frames, uint8 [batch, time, side, side, 3] to float32 [batch * looks, side, side, 3], 0 to 255."""

    def __init__(self, times: tuple[int, ...], **options: Any) -> None:
        super().__init__(**options)
        self.times = times

    def call(self, frames: Any) -> Any:
        chosen = ops.stack([frames[:, time] for time in self.times], axis=1)
        return ops.cast(ops.reshape(chosen, (-1, *frames.shape[2:])), "float32")

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (None, *shape[2:])


class Correlation(layers.Layer):
    """How well each place in a frame matches the nine places around it in the next.

    Features [batch, time, height, width, channels] to [batch, time - 1, height, width, 9]: the cosine of the
    angle between the features, for each displacement by up to one place. Coarser features see farther. After
    FlowNet (Dosovitskiy et al., 2015).
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


def shrunk(values: Any, by: int) -> Any:
    """Means of squares of `by` pixels: [batch, time, side, side, channels] to [batch, time, side / by, ...]."""
    time, side, channels = values.shape[1], values.shape[2] // by, values.shape[4]
    return ops.mean(ops.reshape(values, (-1, time, side, by, side, by, channels)), axis=(3, 5))


def clip_input() -> Any:
    """The input of every architecture: frames uint8 [batch, 16, 112, 112, 3]."""
    return keras.Input((FRAMES, SIDE, SIDE, 3), name="frames", dtype="uint8")


def classifier(frames: Any, features: Any, classes: int) -> keras.Model:
    """End a network: `features` [batch, n] of `frames` to logits float32 [batch, classes]."""
    logits = layers.Dense(classes, dtype="float32", name="logits")(features)
    return keras.Model(frames, logits, name="video")


def weighed(frames: Any, values: Any, classes: int, config: VideoConfig) -> keras.Model:
    """End a network that only weighs fixed numbers: `values` [batch, n] of `frames` to logits float32."""
    # Without scale and shift of its own: only brings every number to the same range.
    values = layers.BatchNormalization(momentum=0.95, center=False, scale=False)(values)
    return classifier(frames, layers.Dropout(config.dropout)(ops.clip(values, -FARTHEST, FARTHEST)), classes)


def fold(values: Any) -> Any:
    """Put time into the batch: [batch, time, ...] to [batch * time, ...]."""
    return ops.reshape(values, (-1, *values.shape[2:]))


def unfold(values: Any, time: int) -> Any:
    """Take time out of the batch: [batch * time, ...] to [batch, time, ...]."""
    return ops.reshape(values, (-1, time, *values.shape[1:]))


def with_change(values: Any) -> Any:
    """Join each frame but the last with its change to the next: [batch, time - 1, ..., 2 * channels]."""
    return ops.concatenate([values[:, :-1], values[:, 1:] - values[:, :-1]], axis=-1)


def convolution(values: Any, filters: int, width: int = 3, stride: int = 1) -> Any:
    """Convolve in two dimensions, normalise over the batch, and cut what is below 0."""
    values = layers.Conv2D(filters, width, strides=stride, padding="same", use_bias=False)(values)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(values))


def course(values: Any, units: int, config: VideoConfig) -> Any:
    """Follow a clip from step to step: [batch, time, features] to its end and its mean, [batch, 2 * units]."""
    if config.cell == "conv":
        for _ in range(2):
            values = layers.Conv1D(units, 3, padding="same", activation="relu")(values)
        values = layers.Dropout(config.dropout)(values)
        return ops.concatenate([ops.max(values, axis=1), ops.mean(values, axis=1)], axis=-1)
    # The generic kernel: what is exported must run where there is no GPU.
    layer = recurrent(
        config.cell,
        units,
        bptt=config.bptt,
        return_sequences=True,
        use_cudnn=False,
        recurrent_dropout=config.recurrent_dropout,
        name=config.cell,
    )
    values = layer(values)
    return ops.concatenate([values[:, -1], ops.mean(values, axis=1)], axis=-1)
