"""Exported classifiers side by side on the same drawings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.report import bootstrap, model_columns
from training.scores import hits
from training.sketchrnn import data
from training.sketchrnn.baseline import nearest_mean
from training.sketchrnn.robustness import CHANGES

BATCH = 64


@dataclass(frozen=True)
class Classifier:
    """A version directory, loaded."""

    version: Path
    labels: tuple[str, ...]
    signature: Any

    @classmethod
    def load(cls, version: Path) -> "Classifier":
        import tensorflow as tf

        listed = (version / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines()
        return cls(version, tuple(listed), tf.saved_model.load(str(version)).signatures["serving_default"])

    def predict(self, drawings: data.Drawings) -> np.ndarray:
        """Probabilities float32 [drawings, classes] from the exported signature."""
        import tensorflow as tf

        order = np.argsort(drawings.lengths, kind="stable")
        parts = []
        for start in range(0, len(order), BATCH):
            strokes = drawings.padded(order[start : start + BATCH], data.BUCKETS)
            rows = len(strokes)
            strokes = np.pad(strokes, [(0, BATCH - rows), (0, 0), (0, 0)])  # XLA compiles every shape anew
            parts.append(self.signature(strokes=tf.constant(strokes))["probabilities"].numpy()[:rows])
        found = np.concatenate(parts)
        out = np.empty_like(found)
        out[order] = found
        return out


def accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """Columns top-1 and top-5 with their 95% intervals from a bootstrap over the drawings."""
    rng = np.random.default_rng(0)
    columns = {}
    for k in (1, 5):
        right = hits(scores, labels, k)
        low, high = bootstrap(right, rng, rounds=1000)
        columns[f"top-{k}"] = f"{100 * right.mean():.1f}% ({100 * low:.1f} to {100 * high:.1f})"
    return columns


def model_row(classifier: Classifier, drawings: data.Drawings, probabilities: np.ndarray) -> dict[str, Any]:
    """What a classifier is, what it costs, and how often it is right."""
    median = int(np.argsort(drawings.lengths, kind="stable")[len(drawings) // 2])
    request = {"strokes": drawings.padded(np.array([median]), data.BUCKETS)}
    return model_columns(classifier.version, request) | accuracy(probabilities, drawings.labels)


def baseline_row(train: data.Drawings, drawings: data.Drawings, classes: int) -> dict[str, Any]:
    """The row of the simplest classifier."""
    scores = nearest_mean(train, drawings, classes)
    return {"model": "nearest mean picture"} | accuracy(scores, drawings.labels)


def length_rows(drawings: data.Drawings, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy on drawings of few, of more and of many points."""
    lengths = drawings.lengths
    parts: Mapping[str, np.ndarray] = {
        "up to 32 points": lengths <= 32,
        "33 to 64": (lengths > 32) & (lengths <= 64),
        "over 64": lengths > 64,
    }
    return [
        {"drawings": name, "count": int(part.sum())} | accuracy(probabilities[part], drawings.labels[part])
        for name, part in parts.items()
        if part.any()
    ]


def robustness_rows(classifier: Classifier, drawings: data.Drawings) -> list[dict[str, Any]]:
    """Accuracy on the same drawings, changed."""
    return [
        {"drawings": name} | accuracy(classifier.predict(change(drawings)), drawings.labels)
        for name, change in CHANGES.items()
    ]
