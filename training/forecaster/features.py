"""What the forecaster sees of a series: computed in the graph, the same in training and in serving.

Everything is relative to the end of the history, in units of the series' own week-to-week change, and
blind to padding: the history is cropped or padded with NaN to MEMORY days first.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from training.forecaster import character, dates, own_past
from training.forecaster.flagged import holiday_effects

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
        values = ops.pad(history, [[0, 0], [MEMORY, 0]], constant_values=float("nan"))[:, -MEMORY:]
        values = ops.reshape(values, (-1, MEMORY))
        flags = ops.pad(holidays, [[0, 0], [MEMORY + HORIZON, 0]])[:, -(MEMORY + HORIZON) :]
        flags = ops.cast(ops.reshape(flags, (-1, MEMORY + HORIZON)) > 0.5, "float32")
        seen = ops.cast(ops.logical_not(ops.isnan(values)), "float32")
        values = ops.where(seen > 0, values, 0.0)
        unit = ops.maximum(ops.max(ops.abs(values), axis=1, keepdims=True), 1e-30)
        values = values / unit
        latest = dates.LAST - HORIZON
        known = ops.cast(ops.logical_and(end_day >= 0, end_day <= latest), "float32")[:, None, None]
        end_day = ops.cast(ops.clip(end_day, 0, latest), "int32")

        plain = seen * (1 - flags[:, :MEMORY])
        level, spread, scale, profile = _shape_of(values, seen, plain)
        past = seen * (values - level) / scale  # missing days are 0 here, and flagged by `seen`
        residuals = _by_week(past, seen, profile)
        memory, candidates = _memory(past, seen, end_day, known, profile, flags)
        recent = residuals["residual"]
        usual = residuals["seen"] * ops.reshape(plain[:, -CONTEXT:], (-1, WEEKS, 7))
        lately = ops.stack([_mean(recent[:, -weeks:], usual[:, -weeks:]) for weeks in (1, 2)], -1)
        lately = ops.tile(lately[:, None], (1, HORIZON, 1))
        traits, extrapolated = character.of(
            past[:, -CONTEXT:], seen[:, -CONTEXT:], ops.reshape(recent, (-1, CONTEXT)), values[:, -CONTEXT:], profile
        )
        usually = ops.tile(profile, (1, MEMORY // 7))
        own_guess, own_features = own_past.regress(past - usually * seen, plain, HORIZON)
        shape = ops.concatenate(
            [
                profile * scale / spread,
                ops.log(1 + spread / scale),
                ops.arcsinh(level / spread),
                ops.mean(seen[:, -CONTEXT:], axis=1, keepdims=True),
                ops.mean(seen, axis=1, keepdims=True),
                traits,
            ],
            axis=-1,
        )
        target_day = end_day[:, None] + np.arange(1, HORIZON + 1, dtype="int32")
        same_weekday = ops.transpose(recent[:, -4:], (0, 2, 1))
        same_seen = ops.transpose(residuals["seen"][:, -4:], (0, 2, 1))
        position = ops.tile(ops.eye(HORIZON)[None], (ops.shape(history)[0], 1, 1))
        days = [
            ops.arcsinh(same_weekday),
            same_seen,
            ops.arcsinh(lately),
            memory,
            own_features,
            calendar(target_day) * known,
            known * ops.ones_like(position[:, :, :1]),
            ops.tile(shape[:, None], (1, HORIZON, 1)),
            position,
        ]
        week_end = end_day[:, None] - 7 * np.arange(WEEKS - 1, -1, -1, dtype="int32")
        week_flags = ops.reshape(flags[:, -CONTEXT - HORIZON : -HORIZON], (-1, WEEKS, 7))
        weeks = [
            ops.arcsinh(recent),
            residuals["seen"],
            week_flags,
            _season(week_end, 2) * known,
            ops.tile(_weekday(end_day[:, None]) * known, (1, WEEKS, 1)),
        ]
        angle = np.tile(np.arange(7, dtype="float32") * (2 * np.pi / 7), WEEKS)
        place = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(1, WEEKS, 7, 2)
        daily = [
            ops.arcsinh(recent)[..., None],
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


def calendar(day: Tensor) -> Tensor:
    """Weekday, month, place in the month, season, and the days around New Year; [..., features]."""
    month = dates.month(day)
    first, next_first = dates.first_day(month), dates.first_day(month + 1)
    month_of_year = dates.month_of_year(month)
    new_year = dates.first_day(month - month_of_year + 12 * ops.cast(month_of_year >= 6, "int32"))
    return ops.concatenate(
        [
            _weekday(day),
            _one_hot(month_of_year, 12),
            _one_hot(dates.weeks_in(day - first), 5),
            _one_hot(dates.weeks_in(next_first - 1 - day), 1),
            _season(day, 3),
            _one_hot(day - new_year + 12, _YEAR_TURN),
        ],
        axis=-1,
    )


def _weekday(day: Tensor) -> Tensor:
    return _one_hot(dates.weekday(day), 7)


def _one_hot(number: Tensor, count: int) -> Tensor:
    """All zeros where the number is not among 0 to `count` - 1."""
    return ops.cast(ops.equal(number[..., None], np.arange(count, dtype="int32")), "float32")


def _season(day: Tensor, harmonics: int) -> Tensor:
    month = dates.month(day)
    day_of_year = day - dates.first_day(month - dates.month_of_year(month))
    angle = ops.cast(day_of_year, "float32") * (2 * np.pi / 365.25)
    waves = [wave(k * angle) for k in range(1, harmonics + 1) for wave in (ops.sin, ops.cos)]
    return ops.stack(waves, axis=-1)


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
    past: Tensor, seen: Tensor, end_day: Tensor, known: Tensor, profile: Tensor, flags: Tensor
) -> tuple[Tensor, Tensor]:
    """What earlier years say of the days to forecast: features and shortcuts, [batch, 7, ...].

    For each kind of counterpart: by how much it differed from the same weekday in the weeks around it, and
    from the level around it; averaged over the years, with their disagreement and how many there were. Then what
    the flagged holidays say.
    """
    years = np.arange(1, YEARS + 1, dtype="int32")
    target = (end_day[:, None] + np.arange(1, HORIZON + 1, dtype="int32"))[:, :, None]
    place = dates.counterparts(target, years) - end_day[:, None, None, None] + MEMORY - 1
    inside = ops.cast(ops.logical_and(place >= 0, place < MEMORY), "float32")
    # Only the first rule, 52 weeks earlier, needs no date.
    dated = (np.arange(dates.RULES) > 0).astype("float32")
    inside = inside * (1 - dated * (1 - known[..., None]))
    place = ops.clip(place, 0, MEMORY - 1)
    unusual, against_level, valid = _at(past, seen, place)
    valid = valid * inside
    unusual, against_level = unusual * valid, against_level * valid
    count = ops.sum(valid, axis=2)
    some = ops.maximum(count, 1.0)
    mean_unusual = ops.sum(unusual, axis=2) / some
    mean_level = ops.sum(against_level, axis=2) / some
    disagreement = ops.sum(ops.abs(unusual - mean_unusual[:, :, None]) * valid, axis=2) / some

    drift, drift_seen = _drift(past, seen)
    level_now = ops.mean(profile, axis=1)[:, None, None]
    as_level = (mean_level + level_now - profile[:, :, None]) * ops.minimum(count, 1.0)
    flagged, guesses = holiday_effects(past, seen, flags, place, unusual, valid)
    features = [
        ops.arcsinh(mean_unusual),
        mean_unusual / 4,
        ops.arcsinh(mean_level),
        ops.arcsinh(disagreement),
        count / YEARS,
        ops.arcsinh(drift),
        drift_seen,
        flagged,
    ]
    shortcuts = [mean_unusual, as_level[..., 1:2], drift, guesses]
    return ops.concatenate(features, axis=-1), ops.concatenate(shortcuts, axis=-1)


def _at(past: Tensor, seen: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How unusual the days at `place` [batch, 7, years, rules] were, against their weekday and against the level.

    The usual value is the mean of the same weekday one and two weeks before and after, without the greatest and the
    least where all four were seen; the level is the mean of those four weeks. The third answer says where both are
    known.
    """
    around = np.arange(-_REACH, _REACH + 1, dtype="int32")
    wide = [ops.pad(part, [[0, 0], [_REACH, _REACH]]) for part in (past, seen)]
    where = ops.reshape(place[..., None] + around + _REACH, (-1, HORIZON * YEARS * dates.RULES * len(around)))
    shape = (-1, HORIZON, YEARS, dates.RULES, len(around))
    near, near_seen = (ops.reshape(ops.take_along_axis(part, where, axis=1), shape) for part in wide)
    alike, alike_seen = ops.matmul(near, _SAME_WEEKDAY), ops.matmul(near_seen, _SAME_WEEKDAY)
    count, total = ops.sum(alike_seen, -1), ops.sum(alike, -1)
    inner = (total - ops.max(alike, -1) - ops.min(alike, -1)) / 2
    usual = ops.where(count > 3.5, inner, total / ops.maximum(count, 1.0))
    week_mean, week_seen = _smooth(ops.matmul(near, _WEEKS_AROUND), ops.matmul(near_seen, _WEEKS_AROUND))
    weeks = ops.sum(week_seen, -1)
    level = ops.sum(week_mean * week_seen, -1) / ops.maximum(weeks, 1.0)
    value = near[..., _REACH]
    valid = near_seen[..., _REACH] * ops.cast(ops.logical_and(count > 1.5, weeks > 1.5), "float32")
    return ops.clip(value - usual, -30.0, 30.0), ops.clip(value - level, -30.0, 30.0), valid


def _drift(past: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """How the level moved from here on, one year ago and on average over the years; [batch, 7, 2]."""
    moves, valid = [], []
    for year in range(1, YEARS + 1):
        end = MEMORY - 1 - 364 * year
        days = slice(end - 6, end + HORIZON + 4)
        mean, known = _smooth(ops.matmul(past[:, days], _FROM_HERE_ON), ops.matmul(seen[:, days], _FROM_HERE_ON))
        there = known[:, 1:] * known[:, :1]
        moves.append(ops.clip(mean[:, 1:] - mean[:, :1], -10.0, 10.0) * there)
        valid.append(there)
    move, there = ops.stack(moves, axis=-1), ops.stack(valid, axis=-1)
    count = ops.sum(there, axis=-1)
    average = ops.sum(move, axis=-1) / ops.maximum(count, 1.0)
    return ops.stack([move[..., 0], average], axis=-1), ops.stack([there[..., 0], count / YEARS], axis=-1)


def _smooth(total: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Means of seven days from their sum and number, and where at least four were seen."""
    return total / ops.maximum(count, 1.0), ops.cast(count > 3.5, "float32")


def _columns(rows: int, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """A matrix that sums those rows in each group: gathers by multiplication, which compiles to little code."""
    matrix = np.zeros((rows, len(groups)), "float32")
    for column, group in enumerate(groups):
        matrix[list(group), column] = 1.0
    return matrix


_WEEKS_APART = (-14, -7, 7, 14)
_REACH = 17
_SAME_WEEKDAY = _columns(2 * _REACH + 1, [[_REACH + day] for day in _WEEKS_APART])
_WEEKS_AROUND = _columns(2 * _REACH + 1, [range(_REACH + day - 3, _REACH + day + 4) for day in _WEEKS_APART])
# Seven-day means centred three days before the end (the last that looks at no later day), then on each target.
_FROM_HERE_ON = _columns(HORIZON + 10, [range(7), *(range(day + 3, day + 10) for day in range(1, HORIZON + 1))])
