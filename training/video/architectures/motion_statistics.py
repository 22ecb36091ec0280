"""A small network on fixed statistics of how a clip moves: for a few hundred clips, from which little can be learnt."""

import keras
from keras import layers

from training.video.model import VideoConfig, classifier, clip_input, expect_default
from training.video.statistics import MotionStatistics

UNITS = 32


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("motion_statistics", config, "imagenet", "cell", "recurrent_dropout", "bptt")
    frames = clip_input()
    values = MotionStatistics(dtype="float32", name="statistics")(frames)
    # Without scale and shift of its own: only brings every number to the same range.
    values = layers.BatchNormalization(momentum=0.95, center=False, scale=False)(values)
    values = layers.Dropout(0.4 * config.dropout)(values)
    values = layers.Dense(UNITS, activation="tanh")(values)
    return classifier(frames, layers.Dropout(config.dropout)(values), classes)
