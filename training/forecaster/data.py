"""Daily series: read from CSV files, split by time, and cut into windows to learn from."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from training.forecaster.features import HORIZON, MEMORY

EPOCH = np.datetime64("1970-01-01", "D")
LEAST = 14  # days of history, and observed values in it, that are worth learning from
TEST_SHARE = 0.2
VALID_SHARE, VALID_DAYS = 0.1, 182

TestFrom = date | int | float
"""Where a series' test part begins: at a date, so many days before its end, or with that share left."""

log = logging.getLogger(__name__)


class DataError(ValueError):
    """The data is not what was expected."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One value a day without holes in the index: NaN is missing. `first_day` counts from 1970-01-01."""

    source: str
    name: str
    first_day: int
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True)
class Span:
    """The positions of a series in which the targets of a window may lie, `stop` excluded."""

    series: Series
    start: int
    stop: int


def read(path: Path, columns: Sequence[str] | None = None) -> list[Series]:
    """Read one CSV file, or every CSV file of a folder: one series a numeric column.

    The first column that holds ISO dates is the index; days without a row become missing values. Columns that
    are not numeric are left out with a message, unless `columns` asks for them. Raises DataError.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"expected a CSV file or a folder of CSV files. Received: {path}")
    series = [one for file in files for one in _read_file(file, columns)]
    if not series:
        raise DataError(f"expected at least one numeric column among the files. Received: {path}")
    return series


def _read_file(file: Path, columns: Sequence[str] | None) -> list[Series]:
    try:
        frame = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"expected a CSV file with a header in {file.name}: {error}") from error
    if frame.empty:
        raise DataError(f"expected at least one row in {file.name}, got none")
    index, dates = _dates(frame, file)
    repeated = dates[dates.duplicated()]
    if len(repeated):
        raise DataError(f"expected one row a day in {file.name}, got {repeated[0]:%Y-%m-%d} more than once")
    values = frame.drop(columns=index)
    missing = sorted(set(columns or ()) - set(values.columns))
    if missing:
        raise DataError(f"expected columns {missing} in {file.name}. Received: {list(values.columns)}")
    return [
        Series(
            source=file.stem,
            name=f"{file.stem}:{name}",
            first_day=int((dates.min().to_datetime64().astype("datetime64[D]") - EPOCH).astype(int)),
            values=_daily(values[name], dates),
        )
        for name in (columns or values.columns)
        if _is_usable(values[name], file, chosen=columns is not None)
    ]


def _dates(frame: pd.DataFrame, file: Path) -> tuple[str, pd.DatetimeIndex]:
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]) or frame[name].isna().any():
            continue
        try:
            return name, pd.DatetimeIndex(pd.to_datetime(frame[name], format="ISO8601")).normalize()
        except (ValueError, TypeError):
            continue
    raise DataError(
        f"expected a column of dates such as 2019-05-31, one in every row, in {file.name}. "
        f"Received: {list(frame.columns)}"
    )


def _is_usable(column: pd.Series, file: Path, *, chosen: bool) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and np.isinf(column).any():
        raise DataError(f"expected finite numbers in column {column.name!r} of {file.name}, got infinity")
    if numeric and column.notna().any():
        return True
    if chosen:
        raise DataError(f"expected numbers in column {column.name!r} of {file.name}. Received: {list(column[:3])}")
    log.warning("%s: column %r holds no numbers and is left out", file.name, column.name)
    return False


def _daily(column: pd.Series, dates: pd.DatetimeIndex) -> np.ndarray:
    daily = pd.Series(column.to_numpy(dtype="float32"), index=dates).asfreq("D")
    return daily.to_numpy(dtype="float32")


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


def window(series: Series, end: int) -> tuple[np.ndarray, int, np.ndarray]:
    """History [MEMORY] up to `end` (padded with NaN on the left), its last day, and the targets [7]."""
    past = series.values[max(0, end - MEMORY) : end]
    history = np.full(MEMORY, np.nan, "float32")
    history[MEMORY - len(past) :] = past
    return history, series.first_day + end - 1, series.values[end : end + HORIZON]


class Windows:
    """Windows drawn at random, each marred as real requests are: shortened, with gaps, without a date."""

    def __init__(self, spans: Sequence[Span]) -> None:
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
        drawn = [self._draw(rng) for _ in indices]
        return _batch(drawn)

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, int, np.ndarray]:
        while True:
            span, at = self.spans[rng.choice(len(self.spans), p=self.weights)]
            history, end_day, targets = _mar(*window(span.series, int(rng.choice(at))), rng)
            if _is_fair(history, targets):
                return history, end_day, targets


class FixedWindows:
    """The same windows every time, as they are: for validation."""

    def __init__(self, spans: Sequence[Span], most: int = 2048) -> None:
        every = [(span.series, int(end)) for span in spans for end in _fair_ends(span)]
        if not every:
            raise DataError("expected windows in the validation part, got none: the series are too short")
        self.windows = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, most).astype(int))]
        self.size = len(self.windows)

    def collate(
        self,
        indices: np.ndarray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return _batch([window(*self.windows[i]) for i in indices])


def _fair_ends(span: Span) -> np.ndarray:
    """Those ends whose window has something to learn from, before its end and after it."""
    observed = np.concatenate([[0], np.cumsum(np.isfinite(span.series.values))])
    at = ends(span)
    before = observed[at] - observed[np.maximum(at - MEMORY, 0)]
    return at[(before >= LEAST) & (observed[at + HORIZON] > observed[at])]


def _is_fair(history: np.ndarray, targets: np.ndarray) -> bool:
    return bool(np.isfinite(history).sum() >= LEAST and np.isfinite(targets).any())


def _mar(
    history: np.ndarray, end_day: int, targets: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int, np.ndarray]:
    history = history.copy()
    if rng.random() < 0.3:
        keep = int(np.exp(rng.uniform(np.log(LEAST), np.log(MEMORY))))
        history[: MEMORY - keep] = np.nan
    if rng.random() < 0.2:
        history[rng.random(MEMORY) < rng.uniform(0, 0.3)] = np.nan
    if rng.random() < 0.15:
        length = int(rng.integers(2, 30))
        begin = MEMORY - int(rng.integers(1, 120))
        history[begin : begin + length] = np.nan
    return history, -1 if rng.random() < 0.2 else end_day, targets


def _batch(
    windows: Sequence[tuple[np.ndarray, int, np.ndarray]],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    histories, days, targets = zip(*windows, strict=True)
    inputs = {"history": np.stack(histories), "end_day": np.array(days, "int32")}
    return inputs, np.stack(targets)
