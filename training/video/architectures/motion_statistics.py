"""A linear layer on fixed statistics of how a clip moves: for a few hundred clips, from which little can be learnt."""

import keras

from training.video.model import VideoConfig, clip_input, expect_default, weighed
from training.video.statistics import MotionStatistics


def build(classes: int, config: VideoConfig) -> keras.Model:
    expect_default("motion_statistics", config, "imagenet", "cell", "recurrent_dropout", "bptt")
    frames = clip_input()
    return weighed(frames, MotionStatistics(dtype="float32", name="statistics")(frames), classes, config)
