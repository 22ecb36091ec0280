"""How far off forecasts were for weeks with public holidays in them, and for all other weeks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.forecaster import rolling
from training.forecaster.features import HORIZON


def columns(group: rolling.Group) -> dict[str, np.ndarray] | None:
    """Which origins [series, most origins] are followed by a holiday within the week, and which are not, by a heading.

    None where the holidays are not known, or where there are only weeks of one sort.
    """
    flags = [(one.holidays, ends) for one, ends in group.pairs()]
    if any(known is None for known, _ in flags):
        return None
    weeks = [np.array([known[end : end + HORIZON].any() for end in ends]) for known, ends in flags]
    found, others = rolling.aligned(weeks, False), rolling.aligned([~one for one in weeks], False)
    if not others.any() or not found.any():
        return None
    return {
        f"{group.name}: {kind} ({where.sum():,})": where for kind, where in (("holidays", found), ("others", others))
    }


def mase(errors: rolling.Errors, where: np.ndarray) -> float:
    """Mean absolute error over these origins, in units of the mean week-to-week change."""
    return float(np.nanmean((errors.absolute / errors.units)[where]))


def lines(
    groups: Sequence[rolling.Group], names: Sequence[str], errors: Sequence[Sequence[rolling.Errors | None]]
) -> list[dict[str, Any]]:
    """A line for each method, with both sorts of weeks of every group whose holidays are known."""
    known = [(at, found) for at, group in enumerate(groups) if (found := columns(group))]
    if not known:
        return []
    made = []
    for name, row in zip(names, errors, strict=True):
        line: dict[str, Any] = {"model": name}
        for at, found in known:
            one = row[at]
            line |= {heading: one and f"{mase(one, where):.3f}" for heading, where in found.items()}
        made.append(line)
    return made
