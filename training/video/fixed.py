"""Fits what follows a layer that needs no learning: what that layer says of the clips is computed once, not each epoch.

Epochs are then a matter of milliseconds, and a fit may have the hundreds of them that a linear layer takes.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from training.datasets.clip_store import Clips
from training.video.comparison import BATCH, predict
from training.video.data import Collate, Vary

IN_ALL = 4000
MOST = 16


@dataclass(frozen=True)
class Copies:
    """Makes batches (features float32 [batch, n], labels int32 [batch]), each clip in one of its copies by chance.

    features: float32 [copies, clips, n]; labels: int32 [copies, clips].
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __call__(
        self, indices: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        copies = rng.integers(len(self.labels), size=len(indices))
        return self.features[copies, indices], self.labels[copies, indices]


def split_after(model: keras.Model, name: str) -> tuple[keras.Model, keras.Model]:
    """Divide a model after the layer `name`, which has no weights; the second part has all those of the whole."""
    layer = model.get_layer(name)
    return keras.Model(model.input, layer.output), keras.Model(layer.output, model.output, name=model.name)


def describe(first: keras.Model, clips: Clips, vary: Vary | None, *, seed: int, compiled: bool) -> Copies:
    """Give what the first part of a model says of each clip; with `vary`, of several copies that stray from it.

    The first copy is the clip itself. There are sixteen of each clip at most, and fewer where there are many clips.
    """
    first.compile(jit_compile=compiled)
    copies = min(MOST, max(2, IN_ALL // len(clips))) if vary else 1
    features, labels = [], []
    for copy in range(copies):
        strayed = Collate(clips, vary if copy else None)
        for start in range(0, len(clips), BATCH):
            indices = np.arange(start, min(start + BATCH, len(clips)))
            frames, named = strayed(indices, np.random.default_rng([seed, copy, start]))
            features.append(predict(first.predict_on_batch, frames))
            labels.append(named)
    return Copies(
        np.concatenate(features).reshape(copies, len(clips), -1), np.concatenate(labels).reshape(copies, len(clips))
    )
