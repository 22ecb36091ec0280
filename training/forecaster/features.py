"""What the forecaster sees of a series: computed in the graph, the same in training and in serving.

Everything is relative to the end of the history, in units of the series' own week-to-week change, and
blind to padding: the history is cropped or padded with NaN to MEMORY days first.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from training.forecaster import dates

HORIZON = 7
WEEKS = 16
CONTEXT = 7 * WEEKS
YEARS = 3
MEMORY = 1120  # days: three years back of every day to forecast, with two weeks to spare
_DECAY = 0.75  # weight of a week against the week after it
_ROBUST = 3.0  # residuals far beyond so many typical ones hardly count
_YEAR_TURN = 18  # days from 20 December to 6 January

Tensor = Any


@keras.saving.register_keras_serializable("seqserve")
class Window(keras.layers.Layer):
    """Splits a history into what is expected and what is to be learnt.

    Call with history [batch, time] (NaN is missing) and end_day [batch] (negative is unknown). Returns a
    dict: `baseline` [batch, 7] and `scale` [batch, 1] in the units of the series; `weeks` [batch, WEEKS,
    features], oldest first, for the encoder; `days` [batch, 7, features] for the decoder; `shortcuts`
    [batch, 7, kinds], each a guess at (value - baseline) / scale. All finite, whatever is missing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32", "trainable": False}))

    def call(self, history: Tensor, end_day: Tensor) -> dict[str, Tensor]:
        values = ops.pad(history, [[0, 0], [MEMORY, 0]], constant_values=float("nan"))[:, -MEMORY:]
        values = ops.reshape(values, (-1, MEMORY))
        seen = ops.cast(ops.logical_not(ops.isnan(values)), "float32")
        values = ops.where(seen > 0, values, 0.0)
        unit = ops.maximum(ops.max(ops.abs(values), axis=1, keepdims=True), 1e-30)
        values = values / unit
        known = ops.cast(end_day >= 0, "float32")[:, None, None]
        end_day = ops.cast(ops.maximum(end_day, 0), "int32")

        level, spread, scale, profile = _shape_of(values, seen)
        past = seen * (values - level) / scale  # missing days are 0 here, and flagged by `seen`
        residuals = _by_week(past, seen, profile)
        memory, candidates = _memory(past, seen, end_day, known, profile)
        recent = residuals["residual"]
        lately = ops.stack([_mean(recent[:, -weeks:], residuals["seen"][:, -weeks:]) for weeks in (1, 2)], -1)
        lately = ops.tile(lately[:, None], (1, HORIZON, 1))
        shape = ops.concatenate(
            [
                profile * scale / spread,
                ops.log(1 + spread / scale),
                ops.arcsinh(level / spread),
                ops.mean(seen[:, -CONTEXT:], axis=1, keepdims=True),
                ops.mean(seen, axis=1, keepdims=True),
            ],
            axis=-1,
        )
        target_day = end_day[:, None] + ops.arange(1, HORIZON + 1, dtype="int32")
        same_weekday = ops.transpose(recent[:, -4:], (0, 2, 1))
        same_seen = ops.transpose(residuals["seen"][:, -4:], (0, 2, 1))
        position = ops.tile(ops.eye(HORIZON)[None], (ops.shape(history)[0], 1, 1))
        days = [
            ops.arcsinh(same_weekday),
            same_seen,
            ops.arcsinh(lately),
            memory,
            calendar(target_day) * known,
            known * ops.ones_like(position[:, :, :1]),
            ops.tile(shape[:, None], (1, HORIZON, 1)),
            position,
        ]
        week_end = end_day[:, None] - 7 * ops.arange(WEEKS - 1, -1, -1, dtype="int32")
        weeks = [
            ops.arcsinh(recent),
            residuals["seen"],
            _season(week_end, 2) * known,
            ops.tile(_weekday(end_day[:, None]) * known, (1, WEEKS, 1)),
        ]
        return {
            "baseline": (level + profile * scale) * unit,
            "scale": scale * unit,
            "weeks": ops.concatenate(weeks, axis=-1),
            "days": ops.concatenate(days, axis=-1),
            "shortcuts": ops.concatenate([candidates, lately], axis=-1),
        }


def calendar(day: Tensor) -> Tensor:
    """Weekday, month, place in the month, season, and the days around New Year; [..., features]."""
    year, month, _ = dates.civil(day)
    before, after = dates.nth_in_month(day)
    one = ops.ones_like(month)
    turn = day - dates.day_number(year + ops.cast(month > 6, "int32"), one, one) + 12
    turn = ops.where(ops.logical_and(turn >= 0, turn < _YEAR_TURN), turn, -1)
    return ops.concatenate(
        [
            _weekday(day),
            ops.one_hot(month - 1, 12, dtype="float32"),
            ops.one_hot(before, 5, dtype="float32"),
            ops.cast(after == 0, "float32")[..., None],
            _season(day, 3),
            ops.cast(turn[..., None] == ops.arange(_YEAR_TURN, dtype="int32"), "float32"),
        ],
        axis=-1,
    )


def _weekday(day: Tensor) -> Tensor:
    return ops.one_hot(dates.weekday(day), 7, dtype="float32")


def _season(day: Tensor, harmonics: int) -> Tensor:
    year, _, _ = dates.civil(day)
    one = ops.ones_like(year)
    angle = ops.cast(day - dates.day_number(year, one, one), "float32") * (2 * np.pi / 365.25)
    waves = [wave(k * angle) for k in range(1, harmonics + 1) for wave in (ops.sin, ops.cos)]
    return ops.stack(waves, axis=-1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over all but the first axis; 0 where every weight is."""
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(values * weights, axes) / ops.maximum(ops.sum(weights, axes), 1e-6)


def _shape_of(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Level, spread and scale [batch, 1] of the last weeks; profile of the week [batch, 7] in scales."""
    recent, observed = values[:, -CONTEXT:], seen[:, -CONTEXT:]
    empty = ops.sum(observed, axis=1, keepdims=True) < 1
    level = ops.where(empty, _mean(values, seen)[:, None], _mean(recent, observed)[:, None])
    variance = ops.where(
        empty,
        _mean(ops.square(values - level), seen)[:, None],
        _mean(ops.square(recent - level), observed)[:, None],
    )
    # A constant series has no spread; its values are of size one here, so this is nothing.
    least = 1e-6
    spread = ops.sqrt(variance) + least

    grid = ops.reshape((recent - level) * observed, (-1, WEEKS, 7))
    there = ops.reshape(observed, (-1, WEEKS, 7))
    pairs = there[:, 1:] * there[:, :-1]
    change = _mean(ops.abs(grid[:, 1:] - grid[:, :-1]), pairs)[:, None]
    enough = ops.sum(pairs, (1, 2))[:, None] >= 7
    scale = ops.where(enough, ops.maximum(change, 0.01 * spread), spread) + least

    grid = grid / scale[:, :, None]
    usual = _weekly_mean(grid, there)
    odd = (grid - usual[:, None]) / _ROBUST
    age = np.arange(WEEKS - 1, -1, -1, dtype="float32")[None, :, None]
    profile = _weekly_mean(grid, there * _DECAY**age / (1 + ops.square(odd)))
    return level, spread, scale, profile


def _weekly_mean(grid: Tensor, weights: Tensor) -> Tensor:
    return ops.sum(grid * weights, axis=1) / (ops.sum(weights, axis=1) + 1e-6)


def _by_week(past: Tensor, seen: Tensor, profile: Tensor) -> dict[str, Tensor]:
    """What the last weeks differ from the profile; a missing day is taken to be as its weekday usually is."""
    there = ops.reshape(seen[:, -CONTEXT:], (-1, WEEKS, 7))
    grid = ops.reshape(past[:, -CONTEXT:], (-1, WEEKS, 7))
    return {"residual": (grid - profile[:, None]) * there, "seen": there}


def _memory(past: Tensor, seen: Tensor, end_day: Tensor, known: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
    """What earlier years say of the days to forecast: features and shortcuts, [batch, 7, ...].

    For each kind of counterpart: by how much it differed from the same weekday in the weeks around it, and
    from the level around it; averaged over the years, with their disagreement and how many there were.
    """
    smooth, smooth_seen = _around(past, seen, range(-3, 4), at_least=4)
    usual, usual_seen = _around(past, seen, (-14, -7, 7, 14), at_least=2, trim=True)
    level, level_seen = _around(smooth, smooth_seen, (-14, -7, 7, 14), at_least=2)

    years = ops.arange(1, YEARS + 1, dtype="int32")[None, None]
    target = (end_day[:, None] + ops.arange(1, HORIZON + 1, dtype="int32"))[:, :, None]
    counterpart = dates.counterparts(target + 0 * years, years + 0 * target)
    place = ops.reshape(counterpart - end_day[:, None, None, None] + MEMORY - 1, (-1, HORIZON * YEARS * dates.RULES))
    inside = ops.logical_and(place >= 0, place < MEMORY)
    place = ops.clip(place, 0, MEMORY - 1)

    def at_counterparts(series: Tensor) -> Tensor:
        found = ops.where(inside, ops.take_along_axis(series, place, axis=1), 0.0)
        return ops.reshape(found, (-1, HORIZON, YEARS, dates.RULES))

    # Only the first rule, 52 weeks earlier, needs no date.
    dated = ops.reshape(ops.cast(np.arange(dates.RULES) > 0, "float32"), (1, 1, 1, -1))
    valid = at_counterparts(seen * usual_seen * level_seen) * (1 - dated * (1 - known[..., None]))
    unusual = ops.clip(at_counterparts(past - usual), -30.0, 30.0) * valid
    against_level = ops.clip(at_counterparts(past - level), -30.0, 30.0) * valid
    count = ops.sum(valid, axis=2)
    some = ops.maximum(count, 1.0)
    mean_unusual = ops.sum(unusual, axis=2) / some
    mean_level = ops.sum(against_level, axis=2) / some
    disagreement = ops.sum(ops.abs(unusual - mean_unusual[:, :, None]) * valid, axis=2) / some

    drift, drift_seen = _drift(smooth, smooth_seen)
    level_now = ops.mean(profile, axis=1)[:, None, None]
    as_level = (mean_level + level_now - profile[:, :, None]) * ops.minimum(count, 1.0)
    features = [
        ops.arcsinh(mean_unusual),
        mean_unusual / 4,
        ops.arcsinh(mean_level),
        ops.arcsinh(disagreement),
        count / YEARS,
        ops.arcsinh(drift),
        drift_seen,
    ]
    return ops.concatenate(features, axis=-1), ops.concatenate([mean_unusual, as_level[..., 1:2], drift], axis=-1)


def _drift(smooth: Tensor, smooth_seen: Tensor) -> tuple[Tensor, Tensor]:
    """How the level moved from here on, one year ago and on average over the years; [batch, 7, 2]."""
    moves, valid = [], []
    for year in range(1, YEARS + 1):
        end = MEMORY - 1 - 364 * year
        there = smooth_seen[:, end + 1 : end + 8] * smooth_seen[:, end - 3 : end - 2]
        moves.append(ops.clip(smooth[:, end + 1 : end + 8] - smooth[:, end - 3 : end - 2], -10.0, 10.0) * there)
        valid.append(there)
    move, there = ops.stack(moves, axis=-1), ops.stack(valid, axis=-1)
    count = ops.sum(there, axis=-1)
    average = ops.sum(move, axis=-1) / ops.maximum(count, 1.0)
    return ops.stack([move[..., 0], average], axis=-1), ops.stack([there[..., 0], count / YEARS], axis=-1)


def _around(series: Tensor, seen: Tensor, offsets: Any, *, at_least: int, trim: bool = False) -> tuple[Tensor, Tensor]:
    """Mean of the seen values at these offsets from each day, and where there were enough of them.

    With `trim`, the greatest and the least are left out where all were seen.
    """
    reach = max(abs(offset) for offset in offsets)
    wide = ops.pad(series * seen, [[0, 0], [reach, reach]])
    wide_seen = ops.pad(seen, [[0, 0], [reach, reach]])
    shifted = [wide[:, reach + o : reach + o + MEMORY] for o in offsets]
    counts = sum(wide_seen[:, reach + o : reach + o + MEMORY] for o in offsets)
    total = sum(shifted)
    mean = total / ops.maximum(counts, 1.0)
    if trim:
        values = ops.stack(shifted, axis=-1)
        inner = (total - ops.max(values, axis=-1) - ops.min(values, axis=-1)) / (len(shifted) - 2)
        mean = ops.where(counts >= len(shifted), inner, mean)
    return mean, ops.cast(counts >= at_least, "float32")
