"""Daily series: from CSV files, or from a dataset that was prepared."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from training.datasets import prepared

EPOCH = np.datetime64("1970-01-01", "D")

log = logging.getLogger(__name__)


class DataError(ValueError):
    """The data is not what was expected."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One value a day without holes in the index: NaN is missing. `first_day` counts from 1970-01-01.

    holidays: which of the days are public holidays, bool; None where that is not known.
    """

    source: str
    name: str
    first_day: int
    values: np.ndarray
    holidays: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def column(self) -> str:
        """The name of the column that it was read from."""
        return self.name.removeprefix(f"{self.source}:")


def read(path: Path, columns: Sequence[str] | None = None) -> list[Series]:
    """Read one CSV file, or every CSV file of a folder: one series a numeric column.

    The first column that holds ISO dates is the index; days without a row become missing values. Columns that
    are not numeric are left out with a message, unless `columns` asks for them. Instead of a path, `path` may name
    a prepared dataset such as daily_series/shops. Raises DataError.
    """
    if version := prepared.locate(path, "daily_series"):
        return _read_prepared(version, columns)
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


def _read_prepared(version: Path, columns: Sequence[str] | None) -> list[Series]:
    examples = sorted(prepared.examples(version, "series").as_numpy_iterator(), key=lambda example: example["place"])
    series = [
        Series(
            source=example["source"].decode(),
            name=example["name"].decode(),
            first_day=int(example["first_day"]),
            values=example["values"],
        )
        for example in examples
    ]
    if columns is None:
        return series
    there = {one.column for one in series}
    if missing := sorted(set(columns) - there):
        raise DataError(f"expected columns {missing} among the series. Received: {sorted(there)}")
    return [one for one in series if one.column in columns]
