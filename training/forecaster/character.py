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


def of(past: Tensor, seen: Tensor, residual: Tensor, values: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
    """Traits [batch, 15] and shortcuts [batch, 7, 9], each a guess at the distance from the baseline, in scales.

    past, seen, residual, values [batch, days]: the last weeks from their level, whether there is a value, from the
    profile, and as they are; past and residual in scales, 0 where missing. profile [batch, 7], in scales.
    """
    days = past.shape[1]
    age = np.arange(days - 1, -1, -1)
    smooth = _smoothed(past, seen, age, _PLAIN)
    deseasoned = _smoothed(residual, seen, age, _SEASONAL)
    slope = _slope(residual, seen, age)
    ahead = np.arange(1, _HORIZON + 1, dtype="float32") + 10.0  # the smoothed level is about ten days old
    plain = smooth[:, None, :] - profile[:, :, None]
    season = ops.tile(deseasoned[:, None, :], (1, _HORIZON, 1))
    weekly = ops.reshape(residual, (-1, days // 7, 7))
    there = ops.reshape(seen, (-1, days // 7, 7))
    long_profile = ops.sum(weekly, axis=1) / (ops.sum(there, axis=1) + 1e-6)
    guesses = ops.concatenate(
        [plain, season, (long_profile)[..., None], (slope * ahead)[..., None]],
        axis=-1,
    )

    size = _mean(ops.abs(residual), seen)
    steps = ops.abs(past[:, 1:] - past[:, :-1])
    pairs = seen[:, 1:] * seen[:, :-1]
    recent_size = _mean(ops.abs(residual[:, -28:]), seen[:, -28:])
    extremes = [
        ops.max(ops.where(seen > 0, past, -1e6), axis=1),
        ops.min(ops.where(seen > 0, past, 1e6), axis=1),
    ]
    nobody = ops.max(seen, axis=1) < 0.5
    traits = ops.stack(
        [
            _autocorrelation(residual, seen, 1),
            _autocorrelation(residual, seen, 2),
            _autocorrelation(residual, seen, 7),
            _autocorrelation(past, seen, 1),
            _autocorrelation(past, seen, 7),
            ops.log(0.05 + recent_size) - ops.log(0.05 + size),
            ops.arcsinh(size),
            ops.log(0.05 + _mean(steps, pairs)),
            _mean(ops.cast(ops.equal(values, 0.0), "float32"), seen),
            *(ops.where(nobody, 0.0, ops.arcsinh(extreme)) for extreme in extremes),
            ops.arcsinh(10 * slope[:, 0]),
            *(ops.arcsinh(deseasoned[:, k]) for k in range(len(_SEASONAL))),
        ],
        axis=-1,
    )
    return traits, ops.clip(guesses, -30.0, 30.0)


def _smoothed(values: Tensor, seen: Tensor, age: np.ndarray, rates: tuple[float, ...]) -> Tensor:
    """Exponentially weighted means at these rates: simple exponential smoothing; [batch, rates]."""
    weights = np.stack([(1 - rate) ** age for rate in rates], axis=-1).astype("float32")
    return ops.matmul(values * seen, weights) / (ops.matmul(seen, weights) + 1e-9)


def _slope(residual: Tensor, seen: Tensor, age: np.ndarray) -> Tensor:
    """Of a weighted least-squares line through the last weeks, a day: [batch, 1]."""
    weight = seen * (0.97**age).astype("float32")
    time = -age.astype("float32")
    total = ops.sum(weight, axis=1, keepdims=True) + 1e-6
    mean_time = ops.sum(weight * time, axis=1, keepdims=True) / total
    mean = ops.sum(weight * residual, axis=1, keepdims=True) / total
    off = (time - mean_time) * weight
    return ops.sum(off * (residual - mean), axis=1, keepdims=True) / (
        ops.sum(off * (time - mean_time), axis=1, keepdims=True) + 30.0
    )


def _autocorrelation(values: Tensor, seen: Tensor, lag: int) -> Tensor:
    both = seen[:, lag:] * seen[:, :-lag]
    power = _mean(ops.square(values), seen)
    return _mean(values[:, lag:] * values[:, :-lag], both) / (power + 1e-3)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return ops.sum(values * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-6)
