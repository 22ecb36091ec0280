"""What kind of series this is, and where simple methods would see it go: for kinds that training did not have.

A series without weeks, a random walk, a smooth one and a noisy count each ask for another method. The forecaster is
shown how the series behaves and what each method says, and learns which of them to trust when.
"""

from typing import Any

import numpy as np
from keras import ops

Tensor = Any

_PLAIN = (0.7, 0.3, 0.1, 0.03)  # smoothing of the values as they are
_SEASONAL = (0.6, 0.3, 0.05)  # smoothing of what differs from the profile of the week
_HORIZON = 7
_LAGS = (0, 1, 2, 7)
_RECENT_DAYS = 28
_CENTRE = 30.0  # days of age that times are counted from: about their mean, so that squares do not cancel


def of(past: Tensor, seen: Tensor, residual: Tensor, values: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
    """Traits [batch, 15] and shortcuts [batch, 7, 9], each a guess at the distance from the baseline, in scales.

    past, seen, residual, values [batch, days]: the last weeks from their level, whether there is a value, from the
    profile, and as they are; past and residual in scales, 0 where missing. profile [batch, 7], in scales.
    """
    rows = ops.stack([past, residual, seen], axis=1)
    steps = _lagged(rows[:, 2], 1) * seen * ops.abs(past - _lagged(past, 1))
    zero = ops.cast(ops.equal(values, 0.0), "float32") * seen
    sums = ops.matmul(
        ops.concatenate([rows, ops.stack([ops.abs(residual), steps, zero], axis=1)], axis=1), _weights(past.shape[1])
    )
    of_past, of_residual, of_seen, of_size, of_steps, of_zero = (sums[:, row] for row in range(6))
    count, recent_count = (ops.maximum(of_seen[:, at], 1e-6) for at in (_ALL, _RECENT))
    smooth = of_past[:, _PLAINLY] / (of_seen[:, _PLAINLY] + 1e-9)
    deseasoned = of_residual[:, _SEASONALLY] / (of_seen[:, _SEASONALLY] + 1e-9)
    slope = _slope(of_seen[:, _TRENDING], of_residual[:, _TRENDING])
    long_profile = of_residual[:, _WEEKDAYS] / (of_seen[:, _WEEKDAYS] + 1e-6)

    ahead = np.arange(1, _HORIZON + 1, dtype="float32") + 10.0  # the smoothed level is about ten days old
    plain = smooth[:, None, :] - profile[:, :, None]
    season = ops.tile(deseasoned[:, None, :], (1, _HORIZON, 1))
    guesses = ops.concatenate([plain, season, long_profile[..., None], (slope * ahead)[..., None]], axis=-1)

    products = ops.matmul(
        rows, ops.transpose(ops.concatenate([_lagged(rows, lag) for lag in _LAGS], axis=1), (0, 2, 1))
    )
    products = ops.reshape(products, (-1, 3, len(_LAGS), 3))
    pairs = ops.maximum(products[:, 2, :, 2], 1e-6)
    past_kept, residual_kept = (_kept(products[:, row, :, row] / pairs) for row in (0, 1))
    sizes = ops.stack(
        [of_size[:, _RECENT] / recent_count, of_size[:, _ALL] / count, of_steps[:, _ALL] / pairs[:, 1]], axis=-1
    )
    logs = ops.log(0.05 + sizes)
    somebody = ops.cast(of_seen[:, _ALL] > 0.5, "float32")
    unbounded = ops.stack(
        [
            sizes[:, 1],
            ops.max(ops.where(seen > 0, past, -1e6), axis=1) * somebody,
            ops.min(ops.where(seen > 0, past, 1e6), axis=1) * somebody,
            10 * slope[:, 0],
        ],
        axis=-1,
    )
    bounded = ops.arcsinh(ops.concatenate([unbounded, deseasoned], axis=-1))
    traits = ops.concatenate(
        [
            residual_kept[:, 1:],
            past_kept[:, 1:2],
            past_kept[:, 3:],
            logs[:, :1] - logs[:, 1:2],
            bounded[:, :1],
            logs[:, 2:],
            (of_zero[:, _ALL] / count)[:, None],
            bounded[:, 1:],
        ],
        axis=-1,
    )
    return traits, ops.clip(guesses, -30.0, 30.0)


# The columns of `_weights`.
_PLAINLY, _SEASONALLY, _TRENDING, _ALL, _RECENT, _WEEKDAYS = (
    slice(0, 4),
    slice(4, 7),
    slice(7, 10),
    10,
    11,
    slice(12, 19),
)


def _weights(days: int) -> np.ndarray:
    """Every weighting of the days that something is summed with, so that one product makes all sums: [days, 19]."""
    age = np.arange(days - 1, -1, -1, dtype="float64")
    fading, time = 0.97**age, _CENTRE - age
    columns = [(1 - rate) ** age for rate in (*_PLAIN, *_SEASONAL)]  # simple exponential smoothing
    columns += [fading, fading * time, fading * time**2, np.ones(days), age < _RECENT_DAYS]
    columns += [np.arange(days) % 7 == day for day in range(7)]
    return np.stack(columns, axis=-1).astype("float32")


def _slope(weights: Tensor, moments: Tensor) -> Tensor:
    """Of a weighted least-squares line through the last weeks, a day: [batch, 1].

    weights [batch, 3]: the sums of the days' weights, and of these times time and its square; moments [batch, 3]: the
    same with each day's value.
    """
    total, of_time, of_square = (weights[:, k : k + 1] for k in range(3))
    of_value, of_both = moments[:, :1], moments[:, 1:2]
    mean_time, mean = of_time / (total + 1e-6), of_value / (total + 1e-6)
    together = of_both - mean_time * of_value - mean * of_time + mean_time * mean * total
    alone = of_square - 2 * mean_time * of_time + mean_time * mean_time * total
    return together / (ops.maximum(alone, 0.0) + 30.0)


def _lagged(values: Tensor, lag: int) -> Tensor:
    """The values so many days earlier, along the last axis; 0 before the first."""
    before = [[0, 0]] * (len(values.shape) - 1) + [[lag, 0]]
    return ops.pad(values, before)[..., : values.shape[-1]] if lag else values


def _kept(covariance: Tensor) -> Tensor:
    """Autocorrelations from autocovariances [batch, lags], of which the first is the variance."""
    return covariance / (covariance[:, :1] + 1e-3)
