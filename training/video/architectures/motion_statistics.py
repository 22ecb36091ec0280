"""A linear layer on fixed statistics of how a clip moves: for a few hundred clips, from which little can be learnt."""

import keras
from keras import layers, ops

from training.video.model import VideoConfig, classifier, clip_input, expect_default
from training.video.statistics import MotionStatistics

FARTHEST = 2.0  # deviations from the mean: one odd number must not decide alone


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("motion_statistics", config, "imagenet", "cell", "recurrent_dropout", "bptt")
    frames = clip_input()
    values = MotionStatistics(dtype="float32", name="statistics")(frames)
    # Without scale and shift of its own: only brings every number to the same range.
    values = layers.BatchNormalization(momentum=0.95, center=False, scale=False)(values)
    values = layers.Dropout(config.dropout)(ops.clip(values, -FARTHEST, FARTHEST))
    return classifier(frames, values, classes)
