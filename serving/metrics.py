"""What the server counts, as Prometheus metrics that add up across workers."""

import asyncio
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from serving.errors import Code
from serving.processes import is_alive
from serving.servables.batching import BatchReport

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# TF Serving's own for its latencies, which are in microseconds: 10 · 1.8^n, so that its dashboards go on working.
_LATENCIES = tuple(1.8**exponent / 1e5 for exponent in range(33))
# Whichever protocol asks, the model is asked the same; as in TF Serving, the name is that of the gRPC method.
_RUNTIME_APIS = {"predict": "Predict", "classify": "Classify", "regress": "Regress", "infer": "ModelInfer"}
PREFIX = "seqserve_"
# How long what is told of requests may wait to be counted.
_NOTED_SECONDS = 0.05
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One set of metrics; each worker process has one, and /metrics adds them up.

    What is told of single requests is noted, and counted a little later with all that came meanwhile: counting costs
    as much for one as for many.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}{name}", text, labels, registry=registry, multiprocess_mode="livesum")

        def histogram(
            name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ("model",)
        ) -> Histogram:
            return Histogram(f"{PREFIX}{name}", text, labels, registry=registry, buckets=buckets)

        # Looking a series up costs as much as counting in it.
        self._of: Any = cache(lambda family, *values: family.labels(*values))
        self._noted: defaultdict[tuple[Any, ...], list[float]] = defaultdict(list)
        # Of requests that are alike but for the seconds that they took.
        self._tallies: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
        self._counting: asyncio.TimerHandle | None = None
        self._requests = counter("requests_total", "Requests answered or refused, by canonical code.", "model", "code")
        self._duration = histogram("request_seconds", "Seconds from the engine's call to its answer.", _SECONDS)
        self._waits = histogram("queue_seconds", "Seconds a request waited for its batch.", _SECONDS)
        self._compute = histogram("compute_seconds", "Seconds a batch took to run.", _SECONDS)
        self._rows = histogram("batch_rows", "Rows in a batch, before padding.", _ROWS)
        self._elements = counter("input_elements_total", "Input elements that requests brought.", "model")
        self._padding = counter("padding_elements_total", "Input elements added to reach a batch's shape.", "model")
        self._depth = gauge("queue_rows", "Rows that wait, over all workers.", "model")
        self._uncompiled = gauge("shapes_to_compile", "Shapes that run op by op until they are compiled.", "model")
        self._loaded = gauge("version_loaded", "Workers that have this version loaded.", "model", "version")
        self._failures = counter("load_failures_total", "Loads that failed.", "model")
        self._config_failures = counter("config_failures_total", "Changes of model_config_file that were not applied.")
        self._loads = histogram("load_seconds", "Seconds a version took to load and warm up.", _SECONDS)
        self._api = histogram(
            "api_seconds",
            "Seconds from a request's arrival to its answer, decoding and encoding included.",
            _LATENCIES,
            ("model", "api", "entrypoint"),
        )
        self._runtime = histogram(
            "runtime_seconds",
            "Seconds that a request waited for its batch and ran in it.",
            _LATENCIES,
            ("model", "api"),
        )
        self._request_rows = histogram("request_rows", "Rows in a request.", _ROWS)
        self._padded_rows = histogram("padded_batch_rows", "Rows in a batch, after padding.", _ROWS)
        self._padding_rows = histogram("padding_rows", "Rows added to a batch.", (0, *_ROWS))
        self._attempts = counter("load_attempts_total", "Loads by how they ended.", "path", "status")
        self._load_time = counter("load_success_seconds_total", "Seconds that successful loads took.", "path")
        self._warmups = histogram(
            "warmup_seconds", "Seconds that a version's warm-up took.", _LATENCIES, ("path", "status")
        )

    def answered(self, model: str, code: Code, seconds: float) -> None:
        self._note(seconds, self._duration, model)
        self._note(1.0, self._requests, model, code.name)

    def refused(self, model: str, code: Code) -> None:
        self._note(1.0, self._requests, model, code.name)

    def served(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        self._note(seconds, self._api, model, api, entrypoint)

    def computed(self, model: str, api: str, seconds: float) -> None:
        self._note(seconds, self._runtime, model, _RUNTIME_APIS.get(api, api))

    def tally(self, model: str, api: str, entrypoint: str) -> Callable[[float], None]:
        """What counts requests that are alike and were answered, by the seconds that each of them took."""
        noted = self._tallies[model, api, entrypoint]

        def answered(seconds: float) -> None:
            noted.append(seconds)
            if self._counting is None:
                self._count_later()

        return answered

    def _note(self, value: float, *series: Any) -> None:
        self._noted[series].append(value)
        if self._counting is None:
            self._count_later()

    def _count_later(self) -> None:
        try:
            self._counting = asyncio.get_running_loop().call_later(_NOTED_SECONDS, self.count)
        except RuntimeError:  # nothing runs that could count later
            self.count()

    def count(self) -> None:
        """Counts what was noted."""
        self._counting = None
        noted, self._noted = self._noted, defaultdict(list)
        for (family, *labels), values in noted.items():
            if family is self._requests:
                self._of(family, *labels).inc(sum(values))
            else:
                _observe_all(self._of(family, *labels), values)
        for (model, api, entrypoint), seconds in self._tallies.items():
            if seconds:
                values = seconds.copy()
                seconds.clear()
                self._of(self._requests, model, Code.OK.name).inc(len(values))
                _observe_all(self._of(self._duration, model), values)
                _observe_all(self._of(self._api, model, api, entrypoint), values)
                _observe_all(self._of(self._runtime, model, _RUNTIME_APIS.get(api, api)), values)

    def ran(self, model: str, report: BatchReport) -> None:
        _observe_all(self._of(self._waits, model), report.waits)
        self._of(self._compute, model).observe(report.seconds)
        self._of(self._rows, model).observe(report.rows)
        self._of(self._padded_rows, model).observe(report.padded_rows)
        self._of(self._padding_rows, model).observe(report.padded_rows - report.rows)
        _observe_all(self._of(self._request_rows, model), report.request_rows)
        self._of(self._elements, model).inc(report.elements)
        self._of(self._padding, model).inc(report.padded_elements - report.elements)

    def waiting(self, model: str, rows: int, shapes: int) -> None:
        self._depth.labels(model).set(rows)
        self._uncompiled.labels(model).set(shapes)

    def loaded(self, model: str, version: int, seconds: float) -> None:
        self._loaded.labels(model, str(version)).set(1)
        self._loads.labels(model).observe(seconds)

    def unloaded(self, model: str, version: int) -> None:
        self._loaded.labels(model, str(version)).set(0)

    def load_failed(self, model: str) -> None:
        self._failures.labels(model).inc()

    def config_failed(self) -> None:
        self._config_failures.inc()

    def load_attempted(self, path: str, succeeded: bool, seconds: float) -> None:
        self._attempts.labels(path, "success" if succeeded else "fail").inc()
        if succeeded:
            self._load_time.labels(path).inc(seconds)

    def warmed_up(self, path: str, succeeded: bool, seconds: float) -> None:
        self._warmups.labels(path, "success" if succeeded else "fail").observe(seconds)


def _observe_all(histogram: Any, values: Sequence[float]) -> None:
    """Observes all values at the price of those that differ in bucket; the library itself takes them one by one."""
    histogram._sum.inc(sum(values))
    for bucket, count in Counts(bisect_left(histogram._upper_bounds, value) for value in values).items():
        histogram._buckets[bucket].inc(count)


@cache
def process_metrics() -> Metrics:
    """This process's metrics in the default registry, made once."""
    return Metrics()


def forget_dead_workers(directory: Path) -> None:
    """Takes workers that were killed out of the sums over living ones; the next worker calls this as it starts.

    directory: where all workers of this server keep their metrics.
    """
    for file in directory.glob("gauge_live*_*.db"):
        if not is_alive(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
