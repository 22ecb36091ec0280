"""Builders for TensorFlow Datasets, registered there as this package is imported."""

from training.datasets.builders.daily_series import DailySeries
from training.datasets.builders.labelled_clips import LabelledClips
from training.datasets.builders.sketch_rnn import SketchRnn

__all__ = ["DailySeries", "LabelledClips", "SketchRnn"]
