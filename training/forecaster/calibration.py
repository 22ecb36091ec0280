"""Stretches the quantiles until, over the year before the test part, the 80% interval holds what it promises.

A network's quantiles fit the windows that it learnt from, as augmented and with dropout in between; on series as they
come they are too wide or too narrow. One factor for each side mends that on average (Romano, Patterson and Candès,
"Conformalized Quantile Regression", 2019, with a factor in place of a distance). Most of that year was learnt from, but
the factors want all seasons more than days that are new: half a year with Christmas in it made them far too wide.
"""

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from training.forecaster.data import FixedWindows, Span
from training.forecaster.outlook import MIDDLE

LEAST, MOST = 0.3, 3.0
YEAR = 365
_BATCH = 256


def last_year(valid_spans: Sequence[Span]) -> FixedWindows:
    """Windows over the year that ends with each of these spans."""
    return FixedWindows([replace(span, start=max(0, span.stop - YEAR)) for span in valid_spans])


def calibrate(model: keras.Model, windows: FixedWindows) -> tuple[float, float]:
    """Set the widths of the model's outlook, and return them: factors below and above the median.

    With them a tenth of the days lies below the 0.1 and above the 0.9 quantile, as far as factors within LEAST to
    MOST can bring that about.
    """
    widths = model.get_layer("outlook").widths
    widths.assign(np.ones(2, "float32"))
    distances: list[np.ndarray] = []
    for start in range(0, windows.size, _BATCH):
        inputs, targets = windows.collate(np.arange(start, min(start + _BATCH, windows.size)), np.random.default_rng(0))
        outputs = ops.convert_to_numpy(model(inputs, training=False))
        distances.append(_distances(outputs[..., 1:-1], targets))
    found = np.concatenate(distances)
    factors = [float(np.clip(np.quantile(side, 0.9), LEAST, MOST)) for side in found.T]
    widths.assign(np.array(factors, "float32"))
    return factors[0], factors[1]


def _distances(quantiles: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How far each day lies below and above the median, in units of the outermost quantiles' distance: [days, 2]."""
    median = quantiles[..., MIDDLE]
    below = (median - targets) / np.maximum(median - quantiles[..., 0], 1e-9)
    above = (targets - median) / np.maximum(quantiles[..., -1] - median, 1e-9)
    seen = np.isfinite(targets)
    return np.stack([below[seen], above[seen]], axis=-1)
