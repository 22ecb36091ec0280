"""What the server counts, as Prometheus metrics that add up across workers."""

from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from serving.batching import BatchReport
from serving.errors import Code
from serving.processes import is_alive

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One set of metrics; each worker process has one, and /metrics adds them up."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"seqserve_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"seqserve_{name}", text, labels, registry=registry, multiprocess_mode="livesum")

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"seqserve_{name}", text, ("model",), registry=registry, buckets=buckets)

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
        self._loads = histogram("load_seconds", "Seconds a version took to load and warm up.", _SECONDS)

    def answered(self, model: str, code: Code, seconds: float) -> None:
        self._requests.labels(model, code.name).inc()
        self._duration.labels(model).observe(seconds)

    def refused(self, model: str, code: Code) -> None:
        self._requests.labels(model, code.name).inc()

    def ran(self, model: str, report: BatchReport) -> None:
        waits = self._waits.labels(model)
        for wait in report.waits:
            waits.observe(wait)
        self._compute.labels(model).observe(report.seconds)
        self._rows.labels(model).observe(report.rows)
        self._elements.labels(model).inc(report.elements)
        self._padding.labels(model).inc(report.padded_elements - report.elements)

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
