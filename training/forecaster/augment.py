"""Windows marred as real requests are, and varied: shortened, with gaps, noisy, without a date, without holidays."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from training.checks import expect_not_negative, expect_share
from training.forecaster.features import MEMORY


class Example(NamedTuple):
    """One window: history [MEMORY], its last day, holidays [MEMORY + 7] (0 or 1) and targets [7]; NaN is missing."""

    history: np.ndarray
    end_day: int
    holidays: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How often, or how much, a window is changed.

    The first five are shares of windows. `jitter` is noise on the history, in units of its mean week-to-week change;
    `scaling` the spread of the logarithm of the factor by which all swings around the mean are stretched.
    """

    shortened: float = 0.3
    gaps: float = 0.2
    masked: float = 0.15
    undated: float = 0.2
    unflagged: float = 0.4
    jitter: float = 0.0
    scaling: float = 0.0

    def __post_init__(self) -> None:
        expect_share(self, ("shortened", "gaps", "masked", "undated", "unflagged"))
        expect_not_negative(self, ("jitter", "scaling"))

    def __call__(self, example: Example, least: int, rng: np.random.Generator) -> Example:
        """A changed copy, of which `least` days of history are left."""
        history, targets = example.history.copy(), example.targets
        if self.scaling:
            middle, factor = np.nanmean(history), np.exp(rng.normal(0, self.scaling))
            history, targets = middle + factor * (history - middle), middle + factor * (targets - middle)
        if self.jitter:
            change = np.abs(history[7:] - history[:-7])
            size = np.nanmean(change) if np.isfinite(change).any() else 0.0
            history = history + rng.normal(0, self.jitter * size, len(history))
        if rng.random() < self.shortened:
            keep = int(np.exp(rng.uniform(np.log(least), np.log(MEMORY))))
            history[: MEMORY - keep] = np.nan
        if rng.random() < self.gaps:
            history[rng.random(MEMORY) < rng.uniform(0, 0.3)] = np.nan
        if rng.random() < self.masked:
            length = int(rng.integers(2, 30))
            begin = MEMORY - int(rng.integers(1, 120))
            history[begin : begin + length] = np.nan
        end_day = -1 if rng.random() < self.undated else example.end_day
        holidays = np.zeros_like(example.holidays) if rng.random() < self.unflagged else example.holidays
        return Example(history.astype("float32"), end_day, holidays, targets.astype("float32"))

    def none(self) -> "Augmentation":
        """Nothing changed."""
        zeros = dict.fromkeys(self.__dataclass_fields__, 0.0)
        return replace(self, **zeros)
