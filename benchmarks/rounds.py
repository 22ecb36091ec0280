"""Measures variants in turn, round after round, so that what else the machine does falls on all alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.load import Figures, LoadError
from benchmarks.processes import Group

WARM_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing to measure: its name, and a function from seconds to figures.

    group: the server's processes, which stand still while others are measured; None where nothing of it runs then.
    """

    name: str
    run: Callable[[float], Figures]
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of one variant, or its ratio to another's in the same round, and what it should reach.

    at_least: whether `limit` is the least that will do, or the most.
    """

    what: str
    variant: str
    figure: str
    limit: float
    over: str = ""
    over_figure: str = ""
    at_least: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal beside what was measured: the median over the rounds, and the least and the greatest."""

    goal: Goal
    median: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        return bool(self.median >= self.goal.limit if self.goal.at_least else self.median <= self.goal.limit)


@dataclass(frozen=True, slots=True)
class Study:
    """What one command measures: variants in turn, and the goals that their figures are held against.

    notes: what a reader of the figures must know, as what was left out and why.
    """

    name: str
    title: str
    variants: Sequence[Variant]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = field(default_factory=tuple)


Results = Mapping[str, Sequence[Figures]]


def measure(study: Study, rounds: int, seconds: float, say: Callable[[str], None]) -> Results:
    """Figures of each variant in each round; a first round only warms up. A variant that fails is left out."""
    results: dict[str, list[Figures]] = {variant.name: [] for variant in study.variants}
    failed: set[str] = set()
    for number in range(rounds + 1):
        for variant in study.variants:
            if variant.name in failed:
                continue
            say(f"{study.name}: round {number} of {rounds} (0 warms up): {variant.name}")
            with ExitStack() as stack:
                for group in {other.group for other in study.variants if other.group not in (None, variant.group)}:
                    stack.enter_context(group.still())  # type: ignore[union-attr]
                try:
                    figures = variant.run(seconds if number else min(WARM_SECONDS, seconds))
                except LoadError as error:
                    say(f"{variant.name} is left out: {error}\n")
                    failed.add(variant.name)
                    continue
            if number:
                results[variant.name].append(figures)
    return {name: figures for name, figures in results.items() if name not in failed}


def medians(results: Results) -> dict[str, dict[str, float]]:
    """Each variant's figures, medians over the rounds."""
    return {
        name: {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        for name, figures in results.items()
        if figures
    }


def judge(goals: Sequence[Goal], results: Results) -> list[Judged]:
    """Goals whose variants were measured; a ratio is taken within each round, its median over them."""
    judged = []
    for goal in goals:
        mine, others = results.get(goal.variant), results.get(goal.over)
        if not mine or (goal.over and not others):
            continue
        values = [each[goal.figure] for each in mine]
        if others:
            key = goal.over_figure or goal.figure
            values = [value / other[key] for value, other in zip(values, others, strict=True)]
        judged.append(Judged(goal, statistics.median(values), min(values), max(values)))
    return judged
