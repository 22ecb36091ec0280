"""A sequence model and a picture model that answer together: they err on different drawings."""

from typing import Any

import keras
from keras import layers, ops

from training.sketchrnn.architectures import conv_bilstm, residual_cnn
from training.sketchrnn.features import Shape
from training.sketchrnn.model import SketchConfig

MEMBERS = {"conv_bilstm": conv_bilstm.build, "residual_cnn": residual_cnn.build}


def build(classes: int, config: SketchConfig) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes].

    Meant to begin with members that were fitted apart (`--start-from`, once for each), and to be fitted briefly.
    """
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    answers = [make(classes, config)(strokes) for make in MEMBERS.values()]
    logits = WeightedSum(name="weights", dtype="float32")(answers)
    return keras.Model(strokes, logits, name="fusion")


class WeightedSum(layers.Layer):
    """Sum of arrays of one shape, each times a weight of its own that is learned: at first their mean."""

    def build(self, shapes: list[Shape]) -> None:
        initial = keras.initializers.Constant(1.0 / len(shapes))
        self.weight = self.add_weight(shape=(len(shapes),), initializer=initial, name="weight")

    def call(self, values: list[Any]) -> Any:
        return sum(ops.multiply(value, self.weight[i]) for i, value in enumerate(values))

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        return shapes[0]
