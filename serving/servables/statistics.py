"""What each version has answered so far, in the terms of Triton's statistics extension.

Counts live as long as the version that they are about. They travel between worker processes as plain dictionaries,
and those of one version add up.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from serving.servables.batching import BatchReport


@dataclass(slots=True)
class Duration:
    """How often something was timed, and the nanoseconds that it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """Counts `times` things that took `seconds` each."""
        self.count += times
        self.ns += times * round(seconds * 1e9)

    def merge(self, other: "Duration") -> None:
        self.count += other.count
        self.ns += other.ns


@dataclass(slots=True)
class BatchStatistics:
    """What batches of one size cost, batch by batch."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def ran(self, report: BatchReport, times: int = 1) -> None:
        self.compute_input.add(report.input_seconds, times)
        self.compute_infer.add(report.run_seconds, times)
        self.compute_output.add(report.output_seconds, times)

    def merge(self, other: "BatchStatistics") -> None:
        self.compute_input.merge(other.compute_input)
        self.compute_infer.merge(other.compute_infer)
        self.compute_output.merge(other.compute_output)


@dataclass(slots=True)
class ModelStatistics:
    """The counts of one version of a model.

    last_inference: milliseconds since 1970 of the last answer or failure; 0 for none yet.
    inference_count: rows answered, where requests have rows; else requests. execution_count: batches run.
    success, fail: whole requests. queue, compute: request by request, each with the whole time of its batch.
    batches: by rows in the batch, before padding.

    Source: Triton's docs/protocol/extension_statistics.md.
    """

    name: str
    version: int
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute: BatchStatistics = field(default_factory=BatchStatistics)
    batches: dict[int, BatchStatistics] = field(default_factory=dict)

    def succeeded(self, seconds: float, rows: int) -> None:
        """Counts one request of so many rows that was answered."""
        self.last_inference = _now()
        self.inference_count += rows
        self.success.add(seconds)

    def failed(self, seconds: float) -> None:
        """Counts one request that was refused, failed or given up."""
        self.last_inference = _now()
        self.fail.add(seconds)

    def ran(self, report: BatchReport) -> None:
        """Counts one batch."""
        self.execution_count += 1
        self.queue.count += len(report.waits)
        self.queue.ns += round(sum(report.waits) * 1e9)
        self.compute.ran(report, len(report.waits))
        self.batches.setdefault(report.rows, BatchStatistics()).ran(report)

    def merge(self, other: "ModelStatistics") -> None:
        """Adds what another process counted for the same version."""
        self.last_inference = max(self.last_inference, other.last_inference)
        self.inference_count += other.inference_count
        self.execution_count += other.execution_count
        self.success.merge(other.success)
        self.fail.merge(other.fail)
        self.queue.merge(other.queue)
        self.compute.merge(other.compute)
        for rows, batch in other.batches.items():
            self.batches.setdefault(rows, BatchStatistics()).merge(batch)

    def snapshot(self) -> dict[str, Any]:
        """Everything in types that JSON has; `restored` reads it."""
        taken = asdict(self)
        taken["batches"] = {str(rows): batch for rows, batch in taken["batches"].items()}
        return taken


def restored(snapshot: Mapping[str, Any]) -> ModelStatistics:
    """The statistics that a snapshot was taken of."""
    plain = dict(snapshot)
    for name in ("success", "fail", "queue"):
        plain[name] = Duration(**plain[name])
    plain["compute"] = _batch(plain["compute"])
    plain["batches"] = {int(rows): _batch(batch) for rows, batch in plain["batches"].items()}
    return ModelStatistics(**plain)


def merged(snapshots: Iterable[Mapping[str, Any]]) -> Sequence[ModelStatistics]:
    """The sums over processes: one for each version, by name and version in ascending order."""
    sums: dict[tuple[str, int], ModelStatistics] = {}
    for snapshot in snapshots:
        statistics = restored(snapshot)
        key = (statistics.name, statistics.version)
        if key in sums:
            sums[key].merge(statistics)
        else:
            sums[key] = statistics
    return [sums[key] for key in sorted(sums)]


def _batch(plain: Mapping[str, Mapping[str, int]]) -> BatchStatistics:
    return BatchStatistics(**{name: Duration(**duration) for name, duration in plain.items()})


def _now() -> int:
    return time.time_ns() // 1_000_000
