"""Strided convolutions over points, then a bidirectional recurrent layer, then attention and max pooling.

Zero rows at the right of a drawing change nothing: the convolutions pad themselves symmetrically, so that their
alignment does not depend on the padded length, and every layer sees zeros where there is no point.
"""

from typing import Any

import keras
from keras import layers, ops

from training.sketchrnn.features import Features, Shape
from training.sketchrnn.model import SketchConfig, recurrent

CONVOLUTIONS = ((64, 5, 1), (128, 5, 2), (128, 5, 1), (192, 5, 2), (192, 3, 1))  # filters, width, stride
UNITS = 128


def build(classes: int, config: SketchConfig) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes].

    After Ha and Eck, "A Neural Representation of Sketch Drawings" (2017), for the format and the bidirectional LSTM.
    """
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    values, mask = Features(dtype="float32")(strokes)
    for i, (filters, width, stride) in enumerate(CONVOLUTIONS):
        convolution = MaskedConvolution(filters, width, stride, config.dropout / 3, name=f"convolution_{i}")
        values, mask = convolution(values, mask)
    values = layers.Bidirectional(recurrent(UNITS, config, sequences=True), name="recurrent")(values, mask=mask)
    pooled = AttentionAndMaxPooling(64, name="pool")(values, mask)
    pooled = layers.Dropout(config.dropout)(pooled)
    logits = layers.Dense(classes, dtype="float32", name="logits")(pooled)
    return keras.Model(strokes, logits, name="conv_bilstm")


class MaskedConvolution(layers.Layer):
    """Convolution, layer normalisation and GELU over points only; with stride 1, a residual where widths agree.

    Input and output are (values [batch, time, channels], present [batch, time]). Every stride-th point stays.
    """

    def __init__(self, filters: int, width: int, stride: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.stride = width, stride
        self.convolution = layers.Conv1D(filters, width, strides=stride, padding="valid")
        self.norm = layers.LayerNormalization()
        self.dropout = layers.SpatialDropout1D(dropout)  # a random number for each value would cost half a step

    def build(self, values_shape: Shape, present_shape: Shape) -> None:  # noqa: ARG002
        self.residual = self.stride == 1 and values_shape[-1] == self.convolution.filters
        self.convolution.build(values_shape)
        self.norm.build((None, None, self.convolution.filters))

    def compute_output_shape(self, values_shape: Shape, present_shape: Shape) -> Any:  # noqa: ARG002
        """Said, because JAX cannot tell that a convolution and a slice of stride 2 leave the same length."""
        batch, time = values_shape[:2]
        time = None if time is None else -(-time // self.stride)
        return (batch, time, self.convolution.filters), (batch, time)

    def call(self, values: Any, present: Any, training: bool = False) -> tuple[Any, Any]:
        side = self.width // 2
        padded = ops.pad(values, [[0, 0], [side, side], [0, 0]])
        made = self.dropout(ops.gelu(self.norm(self.convolution(padded))), training=training)
        present = present[:, :: self.stride]
        made = made + values if self.residual else made
        return made * ops.cast(present, made.dtype)[..., None], present


class AttentionAndMaxPooling(layers.Layer):
    """Values [batch, time, channels] to [batch, 2 * channels]: an attended mean beside the maximum of those present."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = layers.Dense(units, activation="tanh")
        self.score = layers.Dense(1)
        self.supports_masking = True

    def build(self, values_shape: Shape, present_shape: Shape) -> None:  # noqa: ARG002
        self.hidden.build(values_shape)
        self.score.build((None, None, self.hidden.units))

    def compute_mask(self, *_: Any) -> None:
        """The time axis ends here, and its mask with it."""

    def call(self, values: Any, present: Any) -> Any:
        present = present[..., None]
        lowest = -6e4  # within float16
        score = ops.where(present, self.score(self.hidden(values)), lowest)
        weight = ops.exp(score - ops.max(score, axis=1, keepdims=True))  # Keras's softmax warns of a single step
        attended = ops.sum(weight * values, axis=1) / ops.sum(weight, axis=1)
        return ops.concatenate([attended, ops.max(ops.where(present, values, lowest), axis=1)], axis=-1)
