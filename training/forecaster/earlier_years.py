"""What the same days of earlier years brought: by how much they differed from the weeks around them.

For every day of the memory at once, and then looked up: a gather of single places, as gathers of whole weeks around
each of a hundred places would take most of a forecast's time.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from training.forecaster.dates import RULES, YEARS, counterparts

Tensor = Any

HORIZON = 7
NEVER_SEEN = 300  # days before the end: counterparts lie further back, those of an early Easter 323
_WEEKS_APART = (-14, -7, 7, 14)
_REACH = 17
_LIMIT = 30.0  # scales
_DRIFT_LIMIT = 10.0


class Counterparts(NamedTuple):
    """Of each day to forecast, its counterparts in earlier years, [batch, 7, YEARS, RULES]; 0 where not `valid`."""

    unusual: Tensor  # by how much it differed from its weekday in the weeks around it
    against_level: Tensor  # from the level around it
    flagged: Tensor  # 1 where it was a public holiday
    valid: Tensor  # 1 where all that is known


def find(past: Tensor, seen: Tensor, flags: Tensor, end_day: Tensor, known: Tensor) -> Counterparts:
    """Look up the counterparts of the days after `end_day` [batch] in a memory that ends with it.

    past, seen, flags [batch, memory]: in scales from the level and 0 where missing; whether there is a value; whether
    it was a holiday. known [batch, 1, 1]: 1 where `end_day` is to be believed; else only the first rule, 52 weeks
    earlier, holds.
    """
    memory = past.shape[1]
    reachable = memory - NEVER_SEEN
    target = end_day[:, None] + np.arange(1, HORIZON + 1, dtype="int32")
    place = counterparts(target) - end_day[:, None, None, None] + memory - 1
    inside = ops.cast(place >= 0, "float32")
    dated = (np.arange(RULES) > 0).astype("float32")
    inside = inside * (1 - dated * (1 - known[..., None]))
    where = ops.reshape(ops.clip(place, 0, reachable - 1), (-1, HORIZON * YEARS * RULES))
    days = (*_against_their_weeks(past, seen, reachable), flags[:, :reachable])
    unusual, against_level, valid, flagged = (
        ops.reshape(ops.take_along_axis(one, where, axis=1), (-1, HORIZON, YEARS, RULES)) for one in days
    )
    valid = valid * inside
    return Counterparts(unusual * valid, against_level * valid, flagged * valid, valid)


def recall(past: Tensor, seen: Tensor, found: Counterparts, profile: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Features and shortcuts, lists of [batch, 7, ...].

    For each rule: how unusual its counterparts were, and how far from the level around them; averaged over the years,
    with their disagreement and how many there were. Then how the level moved from here on.
    """
    count = ops.sum(found.valid, axis=2)
    some = ops.maximum(count, 1.0)
    unusual = ops.sum(found.unusual, axis=2) / some
    level = ops.sum(found.against_level, axis=2) / some
    disagreement = ops.sum(ops.abs(found.unusual - unusual[:, :, None]) * found.valid, axis=2) / some
    drift, drift_seen = _drift(past, seen)
    level_now = ops.mean(profile, axis=1)[:, None, None]
    as_level = (level + level_now - profile[:, :, None]) * ops.minimum(count, 1.0)
    features = [
        ops.arcsinh(unusual),
        unusual / 4,
        ops.arcsinh(level),
        ops.arcsinh(disagreement),
        count / YEARS,
        ops.arcsinh(drift),
        drift_seen,
    ]
    return features, [unusual, as_level[..., 1:2], drift]


def nothing(like: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What `recall` says where no earlier year is known; `like` [batch, 7, any] tells the batch."""
    none = ops.zeros_like(like[:, :, :1])
    return [ops.tile(none, (1, 1, 5 * RULES + 4))], [ops.tile(none, (1, 1, RULES + 3))]


def _against_their_weeks(past: Tensor, seen: Tensor, days: int) -> tuple[Tensor, Tensor, Tensor]:
    """How unusual each of the first `days` was, against its weekday and against the level; [batch, days].

    The usual value is the mean of the same weekday one and two weeks before and after, without the greatest and the
    least where all four were seen; the level is the mean of those four weeks. The third answer says where both are
    known.
    """
    values, there = (ops.pad(part[:, : days + _REACH], [[0, 0], [_REACH, 0]]) for part in (past, seen))
    alike, alike_seen = (_apart(part, days, _REACH) for part in (values, there))
    total, count = sum(alike), sum(alike_seen)
    greatest = ops.maximum(ops.maximum(alike[0], alike[1]), ops.maximum(alike[2], alike[3]))
    least = ops.minimum(ops.minimum(alike[0], alike[1]), ops.minimum(alike[2], alike[3]))
    usual = ops.where(count > 3.5, (total - greatest - least) / 2, total / ops.maximum(count, 1.0))
    week_mean, week_seen = _smooth(*(_sum_of_seven(part) for part in (values, there)))
    weeks = sum(_apart(week_seen, days, _REACH - 3))
    level = sum(_apart(week_mean * week_seen, days, _REACH - 3)) / ops.maximum(weeks, 1.0)
    value, value_seen = (part[:, _REACH : _REACH + days] for part in (values, there))
    valid = value_seen * ops.cast(ops.logical_and(count > 1.5, weeks > 1.5), "float32")
    return ops.clip(value - usual, -_LIMIT, _LIMIT), ops.clip(value - level, -_LIMIT, _LIMIT), valid


def _apart(values: Tensor, days: int, begin: int) -> list[Tensor]:
    """Of each of so many days from `begin` on, those one and two weeks before and after."""
    return [values[:, begin + shift : begin + shift + days] for shift in _WEEKS_APART]


def _sum_of_seven(values: Tensor) -> Tensor:
    """Of each day and the six after it; six shorter."""
    length = values.shape[1] - 6
    return sum(values[:, shift : shift + length] for shift in range(7))


def _drift(past: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """How the level moved from here on, one year ago and on average over the years; [batch, 7, 2]."""
    ends = [past.shape[1] - 1 - 364 * year for year in range(1, YEARS + 1)]
    around = ops.stack([part[:, end - 6 : end + HORIZON + 4] for part in (past, seen) for end in ends], axis=1)
    sums = ops.matmul(around, _FROM_HERE_ON)
    mean, known = _smooth(sums[:, :YEARS], sums[:, YEARS:])
    there = known[..., 1:] * known[..., :1]
    move = ops.clip(mean[..., 1:] - mean[..., :1], -_DRIFT_LIMIT, _DRIFT_LIMIT) * there
    count = ops.sum(there, axis=1)
    average = ops.sum(move, axis=1) / ops.maximum(count, 1.0)
    return ops.stack([move[:, 0], average], axis=-1), ops.stack([there[:, 0], count / YEARS], axis=-1)


def _smooth(total: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Means of seven days from their sum and number, and where at least four were seen."""
    return total / ops.maximum(count, 1.0), ops.cast(count > 3.5, "float32")


def _columns(rows: int, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """A matrix that sums those rows in each group: gathers by multiplication, which compiles to little code."""
    matrix = np.zeros((rows, len(groups)), "float32")
    for column, group in enumerate(groups):
        matrix[list(group), column] = 1.0
    return matrix


# Seven-day means centred three days before the end (the last that looks at no later day), then on each target.
_FROM_HERE_ON = _columns(HORIZON + 10, [range(7), *(range(day + 3, day + 10) for day in range(1, HORIZON + 1))])
