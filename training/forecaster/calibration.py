"""Stretches the quantiles until, in a usual month of the year before the test part, intervals hold what they promise.

A network's quantiles fit the windows that it learnt from, as augmented and with dropout in between; on series as they
come they are too wide or too narrow. One factor for each side mends that on average (Romano, Patterson and Candès,
"Conformalized Quantile Regression", 2019, with a factor in place of a distance). Most of that year was learnt from, but
the factors want all seasons more than days that are new: half a year with Christmas in it made them far too wide.

For the same reason the factor is that of the median month, not of the year: a month with Christmas or a strike in it
needs far wider quantiles than others, and a factor that makes up for it is wrong in all of them. Every file counts
alike, as the next series may resemble any.
"""

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from training.forecaster.data import EPOCH, FixedWindows, Span
from training.forecaster.outlook import MIDDLE

LEAST, MOST = 0.3, 3.0
YEAR = 365
_BATCH = 256


def last_year(valid_spans: Sequence[Span]) -> FixedWindows:
    """Windows over the year that ends with each of these spans."""
    return FixedWindows([replace(span, start=max(0, span.stop - YEAR)) for span in valid_spans])


def calibrate(model: keras.Model, windows: FixedWindows) -> tuple[float, float]:
    """Set the widths of the model's outlook, and return them: factors below and above the median.

    With them a tenth of a usual month's days lies below the 0.1 and above the 0.9 quantile, as far as factors within
    LEAST to MOST can bring that about; with holidays known or not.
    """
    widths = model.get_layer("outlook").widths
    widths.assign(np.ones(2, "float32"))
    cells = {name: _distances(model, windows, at) for name, at in _months(windows).items()}
    needed = {name: np.quantile(found, 0.9, axis=0) for name, found in cells.items() if len(found)}
    usual = [
        np.median([factors for (other, _), factors in needed.items() if other == source], axis=0)
        for source in {source for source, _ in needed}
    ]
    factors = np.clip(np.exp(np.mean(np.log(np.clip(usual, LEAST, MOST)), axis=0)), LEAST, MOST)
    widths.assign(factors.astype("float32"))
    return float(factors[0]), float(factors[1])


def _months(windows: FixedWindows) -> dict[tuple[str, int], np.ndarray]:
    """The windows' numbers by file and by the month of the year that the history ends in."""
    found: dict[tuple[str, int], list[int]] = {}
    for number, (one, end) in enumerate(windows.windows):
        month = (EPOCH + one.first_day + end - 1).astype("datetime64[M]").astype(int) % 12
        found.setdefault((one.source, int(month)), []).append(number)
    return {name: np.array(numbers) for name, numbers in found.items()}


def _distances(model: keras.Model, windows: FixedWindows, at: np.ndarray) -> np.ndarray:
    """How far each day lies below and above the median, in units of the outermost quantiles' distance: [days, 2]."""
    made: list[np.ndarray] = []
    for start in range(0, len(at), _BATCH):
        inputs, targets = windows.collate(at[start : start + _BATCH], np.random.default_rng(0))
        for given in (inputs, inputs | {"holidays": np.zeros_like(inputs["holidays"])}):
            quantiles = ops.convert_to_numpy(model(given, training=False))[..., 1:-1]
            median = quantiles[..., MIDDLE]
            below = (median - targets) / np.maximum(median - quantiles[..., 0], 1e-9)
            above = (targets - median) / np.maximum(quantiles[..., -1] - median, 1e-9)
            seen = np.isfinite(targets)
            made.append(np.stack([below[seen], above[seen]], axis=-1))
    return np.concatenate(made)
