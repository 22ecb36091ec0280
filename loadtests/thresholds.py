"""Limits on each row of statistics, from a TOML file, and whether a run kept them."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

DEFAULT_FILE = Path(__file__).with_name("thresholds.toml")


@dataclass(frozen=True, slots=True)
class Limits:
    """p95_ms: milliseconds that 95% of requests keep; error_rate: the share that may fail, 0 to 1."""

    p95_ms: float
    error_rate: float
    min_requests: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured under one name."""

    name: str
    requests: int
    failures: int
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of every row, and those of rows with their own."""

    default: Limits
    rows: Mapping[str, Limits]

    def broken_by(self, measured: Iterable[Row], expected: Iterable[str] = ()) -> list[str]:
        """One line for each limit that a run did not keep; none where all is well.

        expected: the names of all rows that the run should have; one that was not measured had no requests.
        """
        by_name = {row.name: row for row in measured}
        absent = [Row(name, 0, 0, 0) for name in expected if name not in by_name]
        lines = []
        for row in [*by_name.values(), *absent]:
            limits = self.rows.get(row.name, self.default)
            rate = row.failures / row.requests if row.requests else 0.0
            if row.requests < limits.min_requests:
                lines.append(f"{row.name}: expected {limits.min_requests} requests or more, got {row.requests}")
            if rate > limits.error_rate:
                lines.append(
                    f"{row.name}: expected at most {limits.error_rate:.2%} errors, "
                    f"got {rate:.2%} ({row.failures} of {row.requests})"
                )
            if row.p95_ms > limits.p95_ms:
                lines.append(f"{row.name}: expected p95 of at most {limits.p95_ms:g} ms, got {row.p95_ms:g} ms")
        return lines


def read(file: Path = DEFAULT_FILE) -> Thresholds:
    """Thresholds from a TOML file; raises ValueError for a key that it does not know."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    _known(content, {"default", "rows"}, "")
    default = Limits(**_limits(content.get("default", {}), "default"))
    rows = {name: replace(default, **_limits(table, f"rows.{name}")) for name, table in content.get("rows", {}).items()}
    return Thresholds(default, rows)


def _limits(table: Mapping[str, float], place: str) -> dict[str, float]:
    _known(table, {field.name for field in fields(Limits)}, place)
    if place == "default" and not {"p95_ms", "error_rate"} <= set(table):
        raise ValueError(f"default: expected p95_ms and error_rate. Received: {sorted(table)}")
    return dict(table)


def _known(table: Mapping[str, object], keys: set[str], place: str) -> None:
    unknown = set(table) - keys
    if unknown:
        raise ValueError(f"{place or 'the file'}: expected only {sorted(keys)}. Received: {sorted(unknown)}")
