"""The smallest model that has a variable axis, padding and labels: sums over time, then a dense layer."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import saving

LABELS = ("cat", "dog", "ant", "bee", "cow", "eel")
RULE = saving.InputRule(axis=1, side="right", value=0.0, buckets=(4, 8))


def tiny_model(seed: int = 0) -> keras.Model:
    points = keras.Input((None, 2), name="points")
    summed = keras.layers.Lambda(lambda x: keras.ops.sum(x, axis=1), output_shape=(2,))(points)
    initial = keras.initializers.RandomNormal(seed=seed)
    dense = keras.layers.Dense(len(LABELS), activation="softmax", kernel_initializer=initial)
    return keras.Model(points, dense(summed))


def export_tiny(models: Path, **changes: Any) -> Path:
    model = tiny_model()
    options: dict[str, Any] = {
        "model": model,
        "core": lambda points: {"probabilities": model(points, training=False)},
        "inputs": {"points": tf.TensorSpec([None, None, 2], tf.float32)},
        "labels": LABELS,
        "rules": {"points": RULE},
        "warmup": [{"points": np.ones((1, 3, 2), "float32")}, {"points": np.ones((2, 4, 2), "float32")}],
        "card": "# tiny\n",
    }
    return saving.export(models, "tiny", **(options | changes))
