"""Three convolutions on a grey picture of 28 by 28 pixels: the classifier of bitmaps, fed with strokes."""

import keras
from keras import layers

from training.sketchrnn.features import Features
from training.sketchrnn.model import SketchConfig
from training.sketchrnn.raster import Raster

SIZE = 28
FILTERS = (32, 64, 64)


def build(classes: int, config: SketchConfig) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes]."""
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    features, mask = Features(dtype="float32")(strokes)
    values = Raster(SIZE, coloured=False, dtype="float32", name="raster")(features, mask)
    for filters in FILTERS:
        values = layers.Conv2D(filters, 3, padding="same", activation="relu")(values)
        values = layers.MaxPooling2D(2)(values)
    values = layers.Dropout(config.dropout)(layers.Flatten()(values))
    values = layers.Dense(64, activation="relu")(values)
    logits = layers.Dense(classes, dtype="float32", name="logits")(values)
    return keras.Model(strokes, logits, name="cnn28")
