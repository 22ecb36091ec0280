"""The sketch classifier: strided convolutions, then a bidirectional LSTM, then attention and max pooling.

Everything from raw offsets to logits is in the graph, and zero rows at the right of a drawing change nothing: the
convolutions pad themselves symmetrically, so that their alignment does not depend on the padded length, and every
layer sees zeros where there is no point.
"""

from typing import Any

import keras
from keras import layers, ops

FEATURES = 6
CONVOLUTIONS = ((64, 5, 1), (128, 5, 2), (128, 5, 1), (192, 5, 2), (192, 3, 1))  # filters, width, stride
UNITS = 128

Shape = tuple[int | None, ...]


class Features(layers.Layer):
    """Offsets [batch, time, 3] to features [batch, time + 1, 6] and a mask [batch, time + 1].

    The pen starts at the origin, which becomes a point of its own, so that a drawing of one row is a line; a first row
    of zeros, with which some write that point, adds nothing to it. The features are position (bounding box centred,
    longer side 2), offset, whether the pen drew on its way to the point, and whether it lifts there. Rows after the
    last that is not all zeros are padding; a zero row before it is a point. A drawing without extent keeps all its
    points at the centre.
    """

    def call(self, strokes: Any) -> tuple[Any, Any]:
        begun = ops.any(ops.not_equal(strokes[:, :1], 0.0), axis=-1, keepdims=True)
        strokes = ops.where(begun, strokes, ops.pad(strokes[:, 1:], [[0, 0], [0, 1], [0, 0]]))
        live = ops.cast(ops.any(ops.not_equal(strokes, 0.0), axis=-1), "float32")
        mask = ops.flip(ops.cumsum(ops.flip(live, axis=1), axis=1), axis=1) > 0
        mask = ops.concatenate([ops.ones_like(mask[:, :1]), mask], axis=1)
        strokes = ops.pad(strokes, [[0, 0], [1, 0], [0, 0]])
        weight = ops.cast(mask, "float32")[..., None]

        offset = strokes[..., :2]
        largest = ops.max(ops.abs(offset), axis=(1, 2), keepdims=True)
        offset = offset / ops.where(largest > 0, largest, 1.0)  # of any scale: sums must not overflow
        position = ops.cumsum(offset, axis=1)
        low = ops.min(ops.where(mask[..., None], position, float("inf")), axis=1, keepdims=True)
        high = ops.max(ops.where(mask[..., None], position, float("-inf")), axis=1, keepdims=True)
        half = ops.max(high - low, axis=-1, keepdims=True) / 2
        half = ops.where(half > 0, half, 1.0)

        lifted = ops.cast(strokes[..., 2:] > 0.5, "float32")
        drew = ops.pad(1.0 - lifted[:, :-1], [[0, 0], [1, 0], [0, 0]])
        features = [(position - (low + high) / 2) / half, offset / half, drew, lifted]
        return ops.concatenate(features, axis=-1) * weight, mask

    def compute_output_shape(self, shape: Shape) -> Any:
        time = None if shape[1] is None else shape[1] + 1
        return (shape[0], time, FEATURES), (shape[0], time)


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


def build(classes: int, *, dropout: float = 0.3, units: int = UNITS) -> keras.Model:
    """The classifier: strokes float32 [batch, time, 3] to logits float32 [batch, classes].

    After Ha and Eck, "A Neural Representation of Sketch Drawings" (2017), for the format and the bidirectional LSTM.
    """
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    values, mask = Features(dtype="float32")(strokes)
    for i, (filters, width, stride) in enumerate(CONVOLUTIONS):
        values, mask = MaskedConvolution(filters, width, stride, dropout / 3, name=f"convolution_{i}")(values, mask)
    # The generic kernel: what is exported must run where there is no GPU.
    lstm = layers.LSTM(units, return_sequences=True, use_cudnn=False)
    values = layers.Bidirectional(lstm, name="lstm")(values, mask=mask)
    pooled = AttentionAndMaxPooling(64, name="pool")(values, mask)
    pooled = layers.Dropout(dropout)(pooled)
    logits = layers.Dense(classes, dtype="float32", name="logits")(pooled)
    return keras.Model(strokes, logits, name="sketchrnn")
