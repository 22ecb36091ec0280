"""What the forecaster sees of a series: computed in the graph, the same in training and in serving.

Everything is relative to the end of the history, in units of the series' own week-to-week change, and
blind to padding: the history is cropped or padded with NaN to MEMORY days first.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from training.forecaster import character, dates, earlier_years, own_past
from training.forecaster.flagged import holiday_effects

HORIZON = 7
WEEKS = 16
CONTEXT = 7 * WEEKS
MEMORY = 1120  # days: three years back of every day to forecast, with two weeks to spare
_DECAY = 0.75  # weight of a week against the week after it
_ROBUST = 3.0  # residuals far beyond so many typical ones hardly count

Tensor = Any


@keras.saving.register_keras_serializable("seqserve")
class Window(keras.layers.Layer):
    """Splits a history into what is expected and what is to be learnt.

    Call with history [batch, time] (NaN is missing), end_day [batch] (negative or after 2099 is unknown) and holidays
    [batch, time + 7] (1 on public holidays of the history and the week after it; all 0 where they are not known, and
    aligned to its end like the history). Returns a dict: `baseline` [batch, 7] and `scale` [batch, 1] in the units of
    the series; `weeks` [batch, WEEKS, features] and `daily` [batch, CONTEXT, 5], oldest first, for encoders; `days`
    [batch, 7, features] for what decodes; `shortcuts` [batch, 7, kinds], each a guess at (value - baseline) / scale;
    `spread` [batch, 1], the usual distance from the baseline, in scales; `residual` and `changes` [batch, WEEKS, 7],
    the distances from the baseline and from the week before, in scales, with `residual_seen` and `changes_seen` for
    where they are known. All finite, whatever is missing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"dtype": "float32", "trainable": False}))

    def call(self, history: Tensor, end_day: Tensor, holidays: Tensor) -> dict[str, Tensor]:
        latest = dates.LAST - HORIZON
        known = ops.cast(ops.logical_and(end_day >= 0, end_day <= latest), "float32")[:, None, None]
        end_day = ops.cast(ops.clip(end_day, 0, latest), "int32")
        target_day = end_day[:, None] + np.arange(1, HORIZON + 1, dtype="int32")
        week_end = end_day[:, None] - 7 * np.arange(WEEKS - 1, -1, -1, dtype="int32")
        informed = ops.cast(ops.max(holidays[:, -(MEMORY + HORIZON) :], axis=1) > 0.5, "float32")[:, None, None]
        given = {
            "history": history,
            "end_day": end_day,
            "holidays": holidays,
            "known": known,
            "informed": informed,
            "calendar": dates.calendar(target_day) * known,
            "seasons": dates.season(week_end, 2) * known,
            "weekday": dates.weekday_one_hot(end_day)[:, None] * known,
        }
        length = ops.shape(history)[1]
        if ops.is_tensor(length):  # where it is known when the graph is compiled, only one of these is
            return ops.cond(
                length <= CONTEXT,
                lambda: _window(**given, memory=CONTEXT),
                lambda: _window(**given, memory=MEMORY),
            )
        # JAX infers shapes with a symbol in its place, which compares with nothing.
        short = isinstance(length, int) and length <= CONTEXT
        return _window(**given, memory=CONTEXT if short else MEMORY)


def _window(
    history: Tensor,
    end_day: Tensor,
    holidays: Tensor,
    known: Tensor,
    informed: Tensor,
    calendar: Tensor,
    seasons: Tensor,
    weekday: Tensor,
    *,
    memory: int,
) -> dict[str, Tensor]:
    """The window of a history of at most `memory` days: CONTEXT, which leaves earlier years out, or MEMORY."""
    values = ops.pad(history, [[0, 0], [memory, 0]], constant_values=float("nan"))[:, -memory:]
    values = ops.reshape(values, (-1, memory))
    flags = ops.pad(holidays, [[0, 0], [memory + HORIZON, 0]])[:, -(memory + HORIZON) :]
    flags = ops.cast(ops.reshape(flags, (-1, memory + HORIZON)) > 0.5, "float32")
    seen = ops.cast(ops.logical_not(ops.isnan(values)), "float32")
    values = ops.where(seen > 0, values, 0.0)
    unit = ops.maximum(ops.max(ops.abs(values), axis=1, keepdims=True), 1e-30)
    values = values / unit

    plain = seen * (1 - flags[:, :memory])
    level, spread, scale, profile = _shape_of(values, seen, plain)
    past = seen * (values - level) / scale  # missing days are 0 here, and flagged by `seen`
    residuals = _by_week(past, seen, profile)
    remembered, candidates = _memory(past, seen, end_day, known, profile, flags, informed)
    recent = residuals["residual"]
    usual = residuals["seen"] * ops.reshape(plain[:, -CONTEXT:], (-1, WEEKS, 7))
    lately = ops.stack([_mean(recent[:, -weeks:], usual[:, -weeks:]) for weeks in (1, 2)], -1)
    lately = ops.tile(lately[:, None], (1, HORIZON, 1))
    traits, extrapolated = character.of(
        past[:, -CONTEXT:], seen[:, -CONTEXT:], ops.reshape(recent, (-1, CONTEXT)), values[:, -CONTEXT:], profile
    )
    own_guess, own_features = own_past.regress(*_own_days(past, seen, plain, profile), HORIZON)
    shape = ops.concatenate(
        [
            profile * scale / spread,
            ops.log(1 + spread / scale),
            ops.arcsinh(level / spread),
            ops.mean(seen[:, -CONTEXT:], axis=1, keepdims=True),
            ops.sum(seen, axis=1, keepdims=True) / MEMORY,
            traits,
        ],
        axis=-1,
    )
    bounded = ops.arcsinh(recent)
    same_weekday = ops.transpose(bounded[:, -4:], (0, 2, 1))
    same_seen = ops.transpose(residuals["seen"][:, -4:], (0, 2, 1))
    position = ops.tile(ops.eye(HORIZON)[None], (ops.shape(history)[0], 1, 1))
    days = [
        same_weekday,
        same_seen,
        ops.arcsinh(lately),
        remembered,
        own_features,
        calendar,
        known * ops.ones_like(position[:, :, :1]),
        ops.tile(shape[:, None], (1, HORIZON, 1)),
        position,
    ]
    week_flags = ops.reshape(flags[:, -CONTEXT - HORIZON : -HORIZON], (-1, WEEKS, 7))
    weeks = [
        bounded,
        residuals["seen"],
        week_flags,
        seasons,
        ops.tile(weekday, (1, WEEKS, 1)),
    ]
    angle = np.tile(np.arange(7, dtype="float32") * (2 * np.pi / 7), WEEKS)
    place = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(1, WEEKS, 7, 2)
    daily = [
        bounded[..., None],
        residuals["seen"][..., None],
        week_flags[..., None],
        ops.tile(ops.convert_to_tensor(place), (ops.shape(history)[0], 1, 1, 1)),
    ]
    grid = ops.reshape(past[:, -CONTEXT:], (-1, WEEKS, 7))
    pairs = residuals["seen"][:, 1:] * residuals["seen"][:, :-1]
    return {
        "baseline": (level + profile * scale) * unit,
        "scale": scale * unit,
        "weeks": ops.concatenate(weeks, axis=-1),
        "daily": ops.reshape(ops.concatenate(daily, axis=-1), (-1, CONTEXT, 5)),
        "days": ops.concatenate(days, axis=-1),
        "shortcuts": ops.concatenate([candidates, lately, extrapolated, own_guess[..., None]], axis=-1),
        "spread": _mean(ops.abs(recent), residuals["seen"])[:, None],
        "residual": recent,
        "residual_seen": residuals["seen"],
        "changes": ops.pad(ops.abs(grid[:, 1:] - grid[:, :-1]) * pairs, [[0, 0], [1, 0], [0, 0]]),
        "changes_seen": ops.pad(pairs, [[0, 0], [1, 0], [0, 0]]),
    }


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over all but the first axis; 0 where every weight is."""
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(values * weights, axes) / ops.maximum(ops.sum(weights, axes), 1e-6)


def _shape_of(values: Tensor, seen: Tensor, plain: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Level, spread and scale [batch, 1] of the last weeks; profile of the week [batch, 7] in scales.

    `seen` are the days that have a value, `plain` those of them that are no holiday: only these make the profile.
    """
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
    there = ops.reshape(plain[:, -CONTEXT:], (-1, WEEKS, 7))
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


def _memory(
    past: Tensor, seen: Tensor, end_day: Tensor, known: Tensor, profile: Tensor, flags: Tensor, informed: Tensor
) -> tuple[Tensor, Tensor]:
    """What earlier years and flagged holidays say of the days to forecast: features and shortcuts, [batch, 7, ...]."""
    if past.shape[1] == CONTEXT:
        found, (features, shortcuts) = None, earlier_years.nothing(profile[..., None])
    else:
        found = earlier_years.find(past, seen, flags[:, :MEMORY], end_day, known)
        features, shortcuts = earlier_years.recall(past, seen, found, profile)
    flagged, guesses = holiday_effects(past, seen, flags, informed, found)
    return ops.concatenate([*features, flagged], axis=-1), ops.concatenate([*shortcuts, guesses], axis=-1)


def _own_days(past: Tensor, seen: Tensor, plain: Tensor, profile: Tensor) -> tuple[Tensor, Tensor]:
    """The distances from the profile that a regression is fitted on, and which of them are plain days.

    The regression passes over the first days that it is given, so that a short history goes after days without values.
    """
    days = min(own_past.DAYS, past.shape[1])
    usually = ops.tile(profile, (1, days // 7))
    parts = past[:, -days:] - usually * seen[:, -days:], plain[:, -days:]
    before = own_past.MONTH if days < own_past.DAYS else 0
    return tuple(ops.pad(part, [[0, 0], [before, 0]]) for part in parts)
