"""A linear layer on all fixed statistics: how a clip moves, and how that compares with itself, near or far away."""

import keras
from keras import layers

from training.video.model import VideoConfig, clip_input, expect_default, weighed
from training.video.relative import RelativeMotion
from training.video.statistics import MotionStatistics


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("relative_motion", config, "imagenet", "cell", "recurrent_dropout", "bptt")
    frames = clip_input()
    parts = [MotionStatistics(dtype="float32")(frames), RelativeMotion(dtype="float32")(frames)]
    return weighed(frames, layers.Concatenate(dtype="float32", name="statistics")(parts), classes, config)
