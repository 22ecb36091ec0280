"""What flagged public holidays say of the days to forecast: which of them are holidays, and what such days brought."""

from typing import Any

from keras import ops

Tensor = Any

_LIMIT = 30.0  # scales; beyond them a day is a mishap rather than a holiday


def holiday_effects(
    past: Tensor, seen: Tensor, flags: Tensor, place: Tensor, unusual: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Features [batch, 7, 14] and shortcuts [batch, 7, 3], the shortcuts zero on days that are not flagged.

    past, seen [batch, memory]: values in scales from the level, and whether there is one. flags [batch, memory + 7].
    place, unusual, valid [batch, 7, years, rules]: the counterparts of each day in earlier years, by how much each
    differed from its weekday, and whether that is known. All is zero where no flag is set.
    """
    memory, horizon = past.shape[1], place.shape[1]
    before, ahead = flags[:, :memory], flags[:, memory:]
    informed = ops.max(flags, axis=1)[:, None, None]
    eve = ops.concatenate([before[:, -1:], ahead[:, :-1]], axis=1)
    morrow = ops.pad(ahead[:, 1:], [[0, 0], [0, 1]])

    # A holiday's counterpart is by one of five rules; it is the one by which that day was flagged, too.
    at = ops.take_along_axis(before, ops.reshape(place, (-1, horizon * place.shape[2] * place.shape[3])), axis=1)
    at = ops.reshape(at, (-1, *place.shape[1:])) * valid
    agrees = valid * ops.cast(ops.equal(at, ahead[:, :, None, None]), "float32") * ahead[:, :, None, None]
    found = ops.sum(agrees, (2, 3))
    same_holiday = ops.sum(unusual * agrees, (2, 3)) / ops.maximum(found, 1.0)
    share = ops.sum(at, axis=2) / ops.maximum(ops.sum(valid, axis=2), 1.0)

    effect, counted = _effects(past, seen, before)
    by_weekday, on_weekday = (ops.sum(ops.reshape(part, (-1, memory // 7, 7)), axis=1) for part in (effect, counted))
    weekday_mean = by_weekday / ops.maximum(on_weekday, 1.0)
    total = ops.sum(counted, axis=1, keepdims=True)
    overall = ops.tile(ops.sum(effect, axis=1, keepdims=True) / ops.maximum(total, 1.0), (1, horizon))
    singles = [
        ahead,
        eve,
        morrow,
        ops.arcsinh(same_holiday),
        same_holiday / 4,
        ops.minimum(found, 3.0) / 3,
        ops.arcsinh(weekday_mean),
        ops.minimum(on_weekday, 3.0) / 3,
        ops.arcsinh(overall),
    ]
    features = ops.concatenate([ops.stack(singles, axis=-1), share], axis=-1)
    guesses = ops.stack([same_holiday, weekday_mean * ahead, overall * ahead], axis=-1)
    return features * informed, guesses


def _effects(past: Tensor, seen: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each flagged day differed from its weekday around it, and which of them count; [batch, memory]."""
    padded = [ops.pad(part, [[0, 0], [14, 14]]) for part in (past, seen * (1 - flags))]
    length = past.shape[1]
    around = [[part[:, 14 + days : 14 + days + length] for days in (-14, -7, 7, 14)] for part in padded]
    total = sum(value * there for value, there in zip(*around, strict=True))
    count = sum(around[1])
    known = flags * seen * ops.cast(count > 1.5, "float32")
    return ops.clip(past - total / ops.maximum(count, 1.0), -_LIMIT, _LIMIT) * known, known
