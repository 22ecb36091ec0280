"""A small folder in the layout of the sketch-rnn files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def objects(items: Sequence[object]) -> np.ndarray:
    """An array of objects, as the published files hold their drawings."""
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def write_class(file: Path, seed: int, **counts: int) -> None:
    """A class of random drawings, so many for each split."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    drawings = {split: [_drawing(rng) for _ in range(count)] for split, count in counts.items()}
    np.savez(file, **{split: objects(those) for split, those in drawings.items()})


def _drawing(rng: np.random.Generator) -> np.ndarray:
    points = int(rng.integers(2, 30))
    lifted = (rng.random((points, 1)) < 0.2).astype("int16")
    return np.hstack([rng.integers(-300, 300, (points, 2), "int16"), lifted])
