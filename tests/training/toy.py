"""A toy problem for tests of fitting: which of two signs the sum of a short sequence has."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.fitting import Batches, FitOptions, FitReport, fit, start

SIZE = 160
RNG = np.random.default_rng(7)
VALUES = RNG.normal(size=(SIZE, 12, 3)).astype("float32")
LENGTHS = RNG.integers(2, 13, SIZE)
LABELS = np.array([v[:n].sum() > 0 for v, n in zip(VALUES, LENGTHS, strict=True)], "int32")


def collate(indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences cut to the longest of the batch, zeros behind each, with a little noise from `rng`."""
    longest = LENGTHS[indices].max()
    values = VALUES[indices, :longest] + rng.normal(0, 0.01, (len(indices), longest, 3))
    return (values * (np.arange(longest) < LENGTHS[indices, None])[..., None]).astype("float32"), LABELS[indices]


def model(dropout: float = 0.2) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Dense(8),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(dropout),
            layers.Dense(8, activation="relu"),
            layers.Dense(2),
        ]
    )


def options(run: Path, **changes: Any) -> FitOptions:
    return FitOptions(**{"run": run, "epochs": 4, "batch_size": 16, "learning_rate": 0.02} | changes)


def fit_toy(
    options: FitOptions, collate: Any = collate, *, policy: str | None = None, dropout: float = 0.2, mode: str = "max"
) -> tuple[keras.Model, FitReport]:
    """Fit the toy problem; `policy` computes in other numbers than those that this machine would."""
    start(options)
    keras.config.set_dtype_policy(policy or keras.config.dtype_policy())
    made = model(dropout)
    batches = Batches(SIZE, options.batch_size, collate, lengths=LENGTHS, window=4, seed=options.seed)
    valid = Batches(SIZE, options.batch_size, collate, lengths=LENGTHS, shuffle=False)
    report = fit(
        made,
        batches,
        valid,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        monitor="val_accuracy",
        mode=mode,
        options=options,
    )
    return made, report
