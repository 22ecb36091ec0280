"""TensorFlow SavedModels as plain functions of numpy arrays; the only package that imports tensorflow."""

from serving.quiet import tensorflow

with tensorflow():
    from serving.savedmodel.loading import SavedModel, load
    from serving.savedmodel.program import Program, Verdicts
    from serving.savedmodel.warmup import WarmupRequest, read_warmup

__all__ = ["Program", "SavedModel", "Verdicts", "WarmupRequest", "load", "read_warmup"]
