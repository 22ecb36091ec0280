"""What the series' own past says of how it goes on: a small regression for each day ahead, fitted within the graph.

Two years of days tell how much of yesterday's and of last week's distance from the month's mean is left so many days
later, and how far off such a forecast was: what an ARIMA would estimate, in closed form. The regressions are direct,
one a step ahead (Marcellino, Stock and Watson, "A comparison of direct and iterated multistep AR methods", 2006).
"""

from typing import Any

from keras import ops

Tensor = Any

DAYS = 728
MONTH, _WEEK = 28, 7
_LIMIT = 8.0  # scales from the month's mean; what is further off is a mishap
_PRIOR = 10.0  # days' worth of belief that nothing of a distance is left


def regress(values: Tensor, seen: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """A guess at each day to come, [batch, horizon], and features of it, [batch, horizon, 4].

    values, seen [batch, days]: distances from the profile of the week, in scales, and whether there is one. The
    features are the guess, how much of the last day's and of the last week's distance it keeps, and how far off such
    guesses were (root mean square, as a logarithm).
    """
    values, seen = values[:, -DAYS:] * seen[:, -DAYS:], seen[:, -DAYS:]
    sums = [_sum_of_last(part, _WEEK) for part in (values, seen)]
    week, week_seen = _mean(*sums, days=_WEEK)
    month, month_seen = _mean(*(_sum_of_last(part, MONTH // _WEEK, apart=_WEEK) for part in sums), days=MONTH)
    week = ops.where(week_seen > 0, _within(week - month), 0.0)
    # A missing last day is taken to be as its week was.
    day = ops.where(seen > 0, _within(values - month), week)

    past = slice(MONTH, -horizon)
    usable = month_seen[:, past, None]
    later = ops.stack([_later(values, ahead, horizon) for ahead in range(1, horizon + 1)], axis=-1)
    weight = usable * ops.stack([_later(seen, ahead, horizon) for ahead in range(1, horizon + 1)], axis=-1)
    moved = _within(later - month[:, past, None]) * weight

    x, y = day[:, past], week[:, past]
    count = ops.sum(weight, axis=1)
    squares = ops.matmul(ops.stack([x * x, x * y, y * y], axis=1), weight)
    products = ops.matmul(ops.stack([x, y], axis=1), moved)
    xx, xy, yy = (squares[:, k] for k in range(3))
    prior = 1 + _PRIOR / (count + 1.0)
    xx, yy = xx * prior + 0.01, yy * prior + 0.01
    determinant = xx * yy - xy * xy
    of_day = (yy * products[:, 0] - xy * products[:, 1]) / determinant
    of_week = (xx * products[:, 1] - xy * products[:, 0]) / determinant

    guess = month[:, -1:] + of_day * day[:, -1:] + of_week * week[:, -1:]
    left = ops.sum(ops.square(moved), axis=1) - of_day * products[:, 0] - of_week * products[:, 1]
    off = ops.sqrt(ops.maximum(left, 0.0) / (count + 1.0))
    features = [ops.arcsinh(guess), _bounded(of_day), _bounded(of_week), ops.log(0.05 + off)]
    return guess, ops.stack(features, axis=-1)


def _later(values: Tensor, ahead: int, horizon: int) -> Tensor:
    """The values so many days after each day that a forecast of `horizon` can be compared from."""
    return values[:, MONTH + ahead : values.shape[1] - horizon + ahead]


def _mean(total: Tensor, count: Tensor, days: int) -> tuple[Tensor, Tensor]:
    """The mean of sums over so many days, and where half of them are known."""
    return total / ops.maximum(count, 1.0), ops.cast(count > 0.5 * days, "float32")


def _sum_of_last(values: Tensor, times: int, apart: int = 1) -> Tensor:
    """The sum of each value and those before it, so many in all, so many days apart; [batch, days]."""
    days, before = values.shape[1], (times - 1) * apart
    padded = ops.pad(values, [[0, 0], [before, 0]])
    return sum(padded[:, shift * apart : shift * apart + days] for shift in range(times))


def _within(values: Tensor) -> Tensor:
    return ops.clip(values, -_LIMIT, _LIMIT)


def _bounded(share: Tensor) -> Tensor:
    return ops.clip(share, -2.0, 2.0)
