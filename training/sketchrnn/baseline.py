"""The simplest classifier of drawings: which class's mean picture is the most alike?"""

from collections.abc import Iterator

import keras
import numpy as np

from training.sketchrnn.data import BUCKETS, Drawings
from training.sketchrnn.features import Features
from training.sketchrnn.raster import Raster

SIZE = 28
BATCH = 512


def nearest_mean(train: Drawings, drawings: Drawings, classes: int) -> np.ndarray:
    """Cosine of each grey picture of 28 x 28 with the mean picture of each class: float32 [drawings, classes]."""
    means = np.zeros((classes, SIZE * SIZE), np.float32)
    for indices, pictures in _pictures(train):
        np.add.at(means, train.labels[indices], pictures)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    out = np.empty((len(drawings), classes), np.float32)
    for indices, pictures in _pictures(drawings):
        out[indices] = pictures @ means.T / np.maximum(np.linalg.norm(pictures, axis=1, keepdims=True), 1e-9)
    return out


def _pictures(drawings: Drawings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of like length, and their pictures float32 [batch, pixels] of one length."""
    features, raster = Features(), Raster(SIZE, coloured=False)
    order = np.argsort(drawings.lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        drawn = keras.ops.convert_to_numpy(raster(*features(drawings.padded(indices, BUCKETS))))
        flat = drawn.reshape(len(indices), -1)
        yield indices, flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
