"""Tables and plots of what several methods forecast from the same origins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training import report
from training.forecaster import holiday_weeks, plots, robustness, rolling
from training.forecaster.baselines import FITTED, MEAN
from training.forecaster.outlook import LEVELS

_MOST_CHANGED = 60  # forecasts in each cell of the table of changes
_ROUNDS = 1000


@dataclass(frozen=True)
class Row:
    """One method: what it is called and costs, its forecasts of every group (None: not asked), and its training."""

    name: str
    columns: Mapping[str, Any]
    forecasts: Sequence[Sequence[np.ndarray] | None]
    facts: Mapping[str, Any] = field(default_factory=dict)


def section(
    groups: Sequence[rolling.Group], rows: Sequence[Row], *, forecaster: rolling.Forecaster | None = None
) -> report.Section:
    """The forecaster's section of the accuracy page. With a `forecaster`, it is measured on changed series, too."""
    errors = [
        [rolling.Errors.of(group, made) if made else None for group, made in zip(groups, row.forecasts, strict=True)]
        for row in rows
    ]
    parts = [_ORIGINS, _origins(groups), _MASE, _scaled(groups, rows, errors), _MAE, _plain(groups, rows, errors)]
    if lines := holiday_weeks.lines(groups, [row.name for row in rows], errors):
        parts += [_HOLIDAYS, report.markdown_table(lines)]
    parts += [_INSIDE, _coverage(groups, rows, errors), _LEVELS, _levels(groups, errors[0])]
    if forecaster is not None:
        parts += [_CHANGED, _changed(groups, forecaster)]
    shown = {
        "fans": plots.fans(_examples(groups, rows[0])),
        "calibration": plots.calibration(_shares(groups, errors[0])),
    }
    histories = {row.name: row.facts["history"] for row in rows if row.facts.get("epochs") and row.facts.get("history")}
    if histories:
        shown["curves"] = plots.curves(histories)
    parts += ["\n".join(f"![{alt}](accuracy/forecaster-{name}.png)" for name, alt in _ALT.items() if name in shown)]
    return report.Section(family="forecaster", markdown="\n\n".join(parts), plots=shown)


_ALT = {
    "fans": "Forecasts with their quantiles, and what came",
    "calibration": "Share of days below each quantile",
    "curves": "Loss by epoch",
}
_ORIGINS = "Where the forecasts begin; each is for the seven days after its origin, with only the past in sight."
_MASE = (
    "Mean absolute error in units of the mean week-to-week change before the test part (MASE), with its 95% interval "
    "(bootstrap over origins, a week at a time), and what the models cost:"
)
_MAE = "Mean absolute error in the units of the series:"
_HOLIDAYS = "MASE from origins that have a public holiday in the week after them, and from all others (how many):"
_INSIDE = "Share of days between the quantiles 0.1 and 0.9, which should hold 80%:"
_LEVELS = "The first model, level by level: share of days below the quantile, and its scaled pinball loss:"
_CHANGED = "The first model on series that were changed (MASE, beside that of the seasonal naive forecast):"


def _origins(groups: Sequence[rolling.Group]) -> str:
    return report.markdown_table(
        [
            {
                "series": group.name,
                "days in the test part": group.spans[0].stop - group.spans[0].start,
                "origins": group.count,
                "one every": f"{group.every} days" if group.every > 1 else "day",
            }
            for group in groups
        ]
    )


def _interval(values: np.ndarray, every: int) -> str:
    block = min(max(1, round(7 / every)), len(values))
    low, high = report.bootstrap(values, np.random.default_rng(0), block=block, rounds=_ROUNDS)
    return f"({low:.3f}–{high:.3f})"


def _scaled(groups: Sequence[rolling.Group], rows: Sequence[Row], errors: Sequence[Sequence[Any]]) -> str:
    lines = []
    for row, found in zip(rows, errors, strict=True):
        line = {"model": row.name} | dict(row.columns)
        for group, one in zip(groups, found, strict=True):
            line[group.name] = one and f"{one.mase:.3f} {_interval(one.scaled_by_origin(), group.every)}"
        lines.append(line)
    return report.markdown_table(lines + _against_the_best(groups, rows, errors))


def _against_the_best(
    groups: Sequence[rolling.Group], rows: Sequence[Row], errors: Sequence[Sequence[Any]]
) -> list[dict[str, Any]]:
    """The first model's error against that of the best statistical model of each group, in per cent."""
    rivals = [found for row, found in zip(rows, errors, strict=True) if row.name in (*FITTED, MEAN)]
    if not rivals:
        return []
    line: dict[str, Any] = {"model": "first model against the best of the statistical ones"}
    for at, group in enumerate(groups):
        best = min((found[at] for found in rivals), key=lambda one: one.mase)
        both = np.stack([errors[0][at].scaled_by_origin(), best.scaled_by_origin()], axis=-1)
        block = min(max(1, round(7 / group.every)), len(both))
        low, high = report.bootstrap(both, np.random.default_rng(0), block=block, rounds=_ROUNDS, statistic=_ratio)
        line[group.name] = f"{100 * (errors[0][at].mase / best.mase - 1):+.1f}% ({low:+.1f} to {high:+.1f})"
    return [line]


def _ratio(both: np.ndarray) -> float:
    ours, theirs = np.nanmean(both, axis=0)
    return float(100 * (ours / theirs - 1))


def _plain(groups: Sequence[rolling.Group], rows: Sequence[Row], errors: Sequence[Sequence[Any]]) -> str:
    return report.markdown_table(
        [
            {"model": row.name}
            | {group.name: one and f"{one.mae:,.5g}" for group, one in zip(groups, found, strict=True)}
            for row, found in zip(rows, errors, strict=True)
        ]
    )


def _coverage(groups: Sequence[rolling.Group], rows: Sequence[Row], errors: Sequence[Sequence[Any]]) -> str:
    return report.markdown_table(
        [
            {"model": row.name}
            | {group.name: one and f"{one.coverage:.1%}" for group, one in zip(groups, found, strict=True)}
            for row, found in zip(rows, errors, strict=True)
            if any(one is not None and one.coverage > 0.05 for one in found)  # the naive forecast has no quantiles
        ]
    )


def _levels(groups: Sequence[rolling.Group], errors: Sequence[Any]) -> str:
    by_group = {group.name: one.by_level() for group, one in zip(groups, errors, strict=True)}
    rows: list[dict[str, Any]] = [
        {"level": str(level)} | {name: f"{found[k][0]:.1%}, {found[k][1]:.3f}" for name, found in by_group.items()}
        for k, level in enumerate(LEVELS)
    ]
    means = {name: f"{np.mean([loss for _, loss in found]):.3f}" for name, found in by_group.items()}
    return report.markdown_table([*rows, {"level": "mean pinball loss"} | means])


def _shares(groups: Sequence[rolling.Group], errors: Sequence[Any]) -> dict[str, list[float]]:
    return {group.name: [share for share, _ in one.by_level()] for group, one in zip(groups, errors, strict=True)}


def _changed(groups: Sequence[rolling.Group], forecaster: rolling.Forecaster) -> str:
    few = [_thinned(group) for group in groups]
    return report.markdown_table(
        [
            {"series": name}
            | {
                group.name: f"{robustness.errors(forecaster, group, change):.3f} "
                f"({robustness.errors(rolling.naive, group, change):.3f})"
                for group in few
            }
            for name, change in robustness.CHANGES.items()
        ]
    )


def _thinned(group: rolling.Group) -> rolling.Group:
    """At most so many origins of a group, evenly over its series and days."""
    flat = [(span, end) for span, ends in zip(group.spans, group.origins, strict=True) for end in ends]
    kept = [flat[i] for i in np.unique(np.linspace(0, len(flat) - 1, min(_MOST_CHANGED, len(flat))).astype(int))]
    return rolling.Group(
        name=group.name,
        spans=[span for span, _ in kept],
        origins=[np.array([end]) for _, end in kept],
        every=group.every,
    )


def _examples(groups: Sequence[rolling.Group], row: Row) -> list[tuple[Any, int, np.ndarray]]:
    """The middle origin of each group's first series."""
    found = []
    for group, made in zip(groups, row.forecasts, strict=True):
        one, ends = group.pairs()[0]
        middle = len(ends) // 2
        if made is not None:
            found.append((one, int(ends[middle]), made[0][middle]))
    return found
