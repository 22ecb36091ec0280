"""The simplest sequence model: one recurrent layer over the pen's offsets and states, and a dense one."""

import keras
from keras import layers

from training.sketchrnn.features import Features, FiveColumns
from training.sketchrnn.model import SketchConfig, recurrent

UNITS = 256


def build(classes: int, config: SketchConfig) -> keras.Model:
    """Strokes float32 [batch, time, 3] to logits float32 [batch, classes]."""
    strokes = keras.Input((None, 3), name="strokes", dtype="float32")
    features, mask = Features(dtype="float32")(strokes)
    ink = FiveColumns(dtype="float32")(features, mask)
    last = recurrent(UNITS, config, sequences=False)(ink, mask=mask)
    last = layers.Dropout(config.dropout)(last)
    logits = layers.Dense(classes, dtype="float32", name="logits")(last)
    return keras.Model(strokes, logits, name="lstm")
