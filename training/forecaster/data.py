"""Daily series, split by time, and cut into windows to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from training.datasets.series import EPOCH, DataError, Series
from training.datasets.series import read as read
from training.forecaster.augment import Augmentation, Example
from training.forecaster.features import HORIZON, MEMORY

LEAST = 14  # days of history, and observed values in it, that are worth learning from
TEST_SHARE = 0.2
VALID_SHARE, VALID_DAYS = 0.1, 182

TestFrom = date | int | float
"""Where a series' test part begins: at a date, so many days before its end, or with that share left."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The positions of a series in which the targets of a window may lie, `stop` excluded."""

    series: Series
    start: int
    stop: int


def test_start(series: Series, test_from: Mapping[str, TestFrom]) -> int:
    """The position at which a series' test part begins: as its source says, or with the last fifth."""
    given = test_from.get(series.source, TEST_SHARE)
    if isinstance(given, date):
        start = (np.datetime64(given, "D") - EPOCH).astype(int) - series.first_day
    elif isinstance(given, int):
        start = len(series) - given
    else:
        start = round(len(series) * (1 - given))
    if not HORIZON <= start <= len(series) - HORIZON:
        raise DataError(
            f"expected the test part of {series.name} to begin inside its {len(series)} days. Received: {given}"
        )
    return int(start)


def split(series: Sequence[Series], test_from: Mapping[str, TestFrom]) -> tuple[list[Span], list[Span], list[Span]]:
    """Training, validation and test spans of every series, in the order of time.

    Validation is the last tenth of what comes before the test part, or its last half year if that is less.
    """
    unknown = sorted(set(test_from) - {one.source for one in series})
    if unknown:
        raise DataError(f"expected the names of files to split. Received: {unknown}")
    parts: tuple[list[Span], list[Span], list[Span]] = ([], [], [])
    for one in series:
        stop = test_start(one, test_from)
        valid = stop - max(HORIZON, min(VALID_DAYS, round(stop * VALID_SHARE)))
        for part, (a, b) in zip(parts, ((0, valid), (valid, stop), (stop, len(one))), strict=True):
            part.append(Span(series=one, start=a, stop=b))
    return parts


def ends(span: Span, least: int = LEAST) -> np.ndarray:
    """Positions one past the last day of a history, for every window whose seven targets lie in the span."""
    return np.arange(max(span.start, least), span.stop - HORIZON + 1)


def window(series: Series, end: int) -> Example:
    """What is known `end` days into a series, padded with NaN on the left, and the seven days after."""
    history = np.full(MEMORY, np.nan, "float32")
    holidays = np.zeros(MEMORY + HORIZON, "float32")
    past = series.values[max(0, end - MEMORY) : end]
    history[MEMORY - len(past) :] = past
    if series.holidays is not None:
        flags = series.holidays[max(0, end - MEMORY) : end + HORIZON]
        holidays[MEMORY - len(past) : MEMORY - len(past) + len(flags)] = flags
    return Example(history, series.first_day + end - 1, holidays, series.values[end : end + HORIZON])


class Windows:
    """Windows drawn at random and augmented."""

    def __init__(self, spans: Sequence[Span], augmentation: Augmentation | None = None) -> None:
        self.augmentation = augmentation or Augmentation()
        usable = [(span, _fair_ends(span)) for span in spans]
        self.spans = [(span, at) for span, at in usable if len(at)]
        if not self.spans:
            raise DataError(f"expected a series of {LEAST + HORIZON} days or more in the training part, got none")
        self.weights = self._weigh()
        self.size = sum(len(at) for _, at in self.spans)

    def _weigh(self) -> np.ndarray:
        """A file counts as the root of its windows, so that the one with most series does not rule."""
        sources: dict[str, int] = {}
        for span, at in self.spans:
            sources[span.series.source] = sources.get(span.series.source, 0) + len(at)
        weights = np.array([len(at) / np.sqrt(sources[span.series.source]) for span, at in self.spans])
        return weights / weights.sum()

    def collate(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """As many random windows as there are indices; which ones follows from the generator alone."""
        return batch([self._draw(rng) for _ in indices])

    def _draw(self, rng: np.random.Generator) -> Example:
        while True:
            span, at = self.spans[rng.choice(len(self.spans), p=self.weights)]
            example = self.augmentation(window(span.series, int(rng.choice(at))), LEAST, rng)
            if _is_fair(example):
                return example


class FixedWindows:
    """The same windows every time, as they are, evenly over each file: for validation.

    As in training a file counts as the root of its windows, so that the one with most series does not rule.
    """

    def __init__(self, spans: Sequence[Span], most: int = 2048) -> None:
        every: dict[str, list[tuple[Series, int]]] = {}
        for span in spans:
            every.setdefault(span.series.source, []).extend((span.series, int(end)) for end in _fair_ends(span))
        roots = {source: np.sqrt(len(windows)) for source, windows in every.items()}
        if not any(roots.values()):
            raise DataError("expected windows in the validation part, got none: the series are too short")
        self.windows = [
            windows[i]
            for source, windows in every.items()
            for i in _evenly(len(windows), round(most * roots[source] / sum(roots.values())))
        ]
        self.size = len(self.windows)

    def collate(
        self,
        indices: np.ndarray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return batch([window(*self.windows[i]) for i in indices])


def _evenly(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, max(most, 1))).astype(int)) if count else np.arange(0)


def _fair_ends(span: Span) -> np.ndarray:
    """Those ends whose window has something to learn from, before its end and after it."""
    observed = np.concatenate([[0], np.cumsum(np.isfinite(span.series.values))])
    at = ends(span)
    before = observed[at] - observed[np.maximum(at - MEMORY, 0)]
    return at[(before >= LEAST) & (observed[at + HORIZON] > observed[at])]


def _is_fair(example: Example) -> bool:
    return bool(np.isfinite(example.history).sum() >= LEAST and np.isfinite(example.targets).any())


def batch(examples: Sequence[Example]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs by name and targets [batch, 7]."""
    histories, days, holidays, targets = zip(*examples, strict=True)
    inputs = {"history": np.stack(histories), "end_day": np.array(days, "int32"), "holidays": np.stack(holidays)}
    return inputs, np.stack(targets)
