"""Tiny SavedModels with the signatures of the shipped models, and answers that tests can compute."""

from pathlib import Path

import tensorflow as tf

from .models import Flat


def _classes(labels: list[str], scores: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = scores / tf.reduce_sum(scores, axis=-1, keepdims=True)
    best, order = tf.math.top_k(probabilities, k=len(labels))
    return {"probabilities": probabilities, "top_classes": tf.gather(tf.constant(labels), order), "top_scores": best}


class Festive(Flat):
    """Nothing happens on holidays; on other days, what happens on all."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.float32, name="history"),
            tf.TensorSpec([None], tf.int32, name="end_day"),
            tf.TensorSpec([None, None], tf.float32, name="holidays"),
        ]
    )
    def with_holidays(self, history, end_day, holidays):
        plain = self.serve(history, end_day)
        open_days = 1.0 - holidays[:, -7:]
        return {"mean": plain["mean"] * open_days, "quantiles": plain["quantiles"] * open_days[..., None]}


class Ways(tf.Module):
    """Scores a drawing by how much of its way goes across, and how much down."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32, name="strokes")])
    def serve(self, strokes):
        return _classes(["across", "down"], tf.reduce_sum(tf.abs(strokes[:, :, :2]), axis=1) + 1e-6)


class Colours(tf.Module):
    """Scores a clip by its mean colour."""

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 112, 112, 3], tf.uint8, name="frames")])
    def serve(self, frames):
        colour = tf.reduce_mean(tf.cast(frames, tf.float32), axis=[1, 2, 3])
        return _classes(["red", "green", "blue"], colour + 1e-6)


def save(base: Path) -> Path:
    for name, module in {"forecaster": Festive(), "sketchrnn": Ways(), "video": Colours()}.items():
        signatures = {"serving_default": module.serve}
        if isinstance(module, Festive):
            signatures["with_holidays"] = module.with_holidays
        tf.saved_model.save(module, str(base / name / "1"), signatures=signatures)
    return base
