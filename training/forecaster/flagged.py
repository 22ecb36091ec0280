"""What flagged public holidays say of the days to forecast: which of them are holidays, and what such days brought."""

from typing import Any

import numpy as np
from keras import ops

from training.forecaster.dates import RULES
from training.forecaster.earlier_years import Counterparts

Tensor = Any

_LIMIT = 30.0  # scales; beyond them a day is a mishap rather than a holiday


def holiday_effects(
    past: Tensor, seen: Tensor, flags: Tensor, informed: Tensor, found: Counterparts | None
) -> tuple[Tensor, Tensor]:
    """Features [batch, 7, 14] and shortcuts [batch, 7, 3], the shortcuts zero on days that are not flagged.

    past, seen [batch, memory]: values in scales from the level, and whether there is one. flags [batch, memory + 7].
    informed [batch, 1, 1]: 1 where any flag is set, however long ago; else all is zero. found: the counterparts of each
    day in earlier years, None where there are no earlier years.
    """
    memory = past.shape[1]
    horizon = flags.shape[1] - memory
    before, ahead = flags[:, :memory], flags[:, memory:]
    eve = ops.concatenate([before[:, -1:], ahead[:, :-1]], axis=1)
    morrow = ops.pad(ahead[:, 1:], [[0, 0], [0, 1]])
    same_holiday, agreeing, share = _by_rule(ahead, found)

    effect, counted = _effects(past, seen, before)
    weekdays = np.tile(np.eye(7, dtype="float32"), (memory // 7, 1))
    by_weekday, on_weekday = ops.matmul(effect, weekdays), ops.matmul(counted, weekdays)
    weekday_mean = by_weekday / ops.maximum(on_weekday, 1.0)
    total = ops.sum(on_weekday, axis=1, keepdims=True)
    overall = ops.tile(ops.sum(by_weekday, axis=1, keepdims=True) / ops.maximum(total, 1.0), (1, horizon))
    singles = [
        ahead,
        eve,
        morrow,
        ops.arcsinh(same_holiday),
        same_holiday / 4,
        ops.minimum(agreeing, 3.0) / 3,
        ops.arcsinh(weekday_mean),
        ops.minimum(on_weekday, 3.0) / 3,
        ops.arcsinh(overall),
    ]
    features = ops.concatenate([ops.stack(singles, axis=-1), share], axis=-1)
    guesses = ops.stack([same_holiday, weekday_mean * ahead, overall * ahead], axis=-1)
    return features * informed, guesses


def _by_rule(ahead: Tensor, found: Counterparts | None) -> tuple[Tensor, Tensor, Tensor]:
    """What the holiday brought in earlier years, in how many cases [batch, 7], and which rules found one at all."""
    if found is None:
        none = ops.zeros_like(ahead)
        return none, none, ops.tile(none[..., None], (1, 1, RULES))
    # A holiday's counterpart is by one of five rules; it is the one by which that day was flagged, too.
    agrees = found.flagged * ahead[:, :, None, None]
    count = ops.sum(agrees, (2, 3))
    same_holiday = ops.sum(found.unusual * agrees, (2, 3)) / ops.maximum(count, 1.0)
    share = ops.sum(found.flagged, axis=2) / ops.maximum(ops.sum(found.valid, axis=2), 1.0)
    return same_holiday, count, share


def _effects(past: Tensor, seen: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each flagged day differed from its weekday around it, and which of them count; [batch, memory]."""
    padded = [ops.pad(part, [[0, 0], [14, 14]]) for part in (past, seen * (1 - flags))]
    length = past.shape[1]
    around = [[part[:, 14 + days : 14 + days + length] for days in (-14, -7, 7, 14)] for part in padded]
    total = sum(value * there for value, there in zip(*around, strict=True))
    count = sum(around[1])
    known = flags * seen * ops.cast(count > 1.5, "float32")
    return ops.clip(past - total / ops.maximum(count, 1.0), -_LIMIT, _LIMIT) * known, known
