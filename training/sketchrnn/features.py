"""What every architecture starts from: raw offsets as positions in a box, and which rows are points."""

from typing import Any

from keras import layers, ops

FEATURES = 6

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


class FiveColumns(layers.Layer):
    """Features and mask to ink [batch, time + 1, 5]: dx, dy and the pen's state as one of down, up, ended.

    The ended state stands at the drawing's last point, and rows of padding are zeros. The pen's states are those of
    Ha and Eck, "A Neural Representation of Sketch Drawings" (2017).
    """

    def call(self, features: Any, present: Any) -> Any:
        weight = ops.cast(present, "float32")[..., None]
        last = weight - ops.pad(weight[:, 1:], [[0, 0], [0, 1], [0, 0]])
        lifted = features[..., 5:] * (1.0 - last)
        return ops.concatenate([features[..., 2:4], weight - lifted - last, lifted, last], axis=-1)

    def compute_output_shape(self, features_shape: Shape, present_shape: Shape) -> Shape:  # noqa: ARG002
        return (*features_shape[:2], 5)
