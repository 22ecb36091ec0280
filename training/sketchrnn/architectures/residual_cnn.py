"""A small residual network on a coloured picture of the drawing."""

from typing import Any

import keras
from keras import layers

from training.sketchrnn.features import Features
from training.sketchrnn.model import SketchConfig
from training.sketchrnn.raster import Raster

SIZE = 32
WIDTHS = (32, 80, 160)  # channels at a half, a quarter and an eighth of the picture's side


def build(classes: int, config: SketchConfig) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes].

    After He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2016).
    """
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    features, mask = Features(dtype="float32")(strokes)
    values = Raster(SIZE, dtype="float32", name="raster")(features, mask)
    values = _normal(layers.Conv2D(WIDTHS[0], 5, strides=2, padding="same", use_bias=False)(values))
    values = _residual(values, WIDTHS[0])
    for width in WIDTHS[1:]:
        values = _normal(layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(values))
        values = _residual(values, width)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(values), layers.GlobalMaxPooling2D()(values)])
    pooled = layers.Dropout(config.dropout)(pooled)
    logits = layers.Dense(classes, dtype="float32", name="logits")(pooled)
    return keras.Model(strokes, logits, name="residual_cnn")


def _normal(values: Any) -> Any:
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.98)(values))


def _residual(values: Any, width: int) -> Any:
    made = layers.BatchNormalization(momentum=0.98)(layers.Conv2D(width, 3, padding="same", use_bias=False)(values))
    return layers.Activation("relu")(layers.Add()([values, made]))
