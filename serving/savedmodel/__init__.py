"""TensorFlow SavedModels as plain functions of numpy arrays; the only package that imports tensorflow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before tensorflow's first import, or its chatter is out

from serving.savedmodel.loading import SavedModel, load
from serving.savedmodel.program import Program
from serving.savedmodel.warmup import read_warmup

__all__ = ["Program", "SavedModel", "load", "read_warmup"]
