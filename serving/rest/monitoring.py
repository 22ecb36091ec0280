"""The page at /monitoring/prometheus/metrics: what all workers count, under TF Serving's names and under ours.

Names, labels, their order and the way numbers are written are those of tensorflow_serving/util/prometheus_exporter.cc:
a metric /tensorflow/serving/request_count is :tensorflow:serving:request_count, and times are in microseconds.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.metrics import PREFIX

_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class _Family:
    """One of TF Serving's metrics.

    source: ours, without its prefix; of a histogram, a counter shows the count. labels: its own name for each of our
    labels, in its order; series that differ in our other labels only add up. scale: what our numbers are multiplied
    with. constant: further labels.
    """

    name: str
    source: str
    kind: str
    labels: Mapping[str, str]
    scale: float = 1
    constant: Mapping[str, str] | None = None


_SERVING = ":tensorflow:serving:"
_BATCHING = f"{_SERVING}batching_session:"
_SAVED_MODEL = ":tensorflow:cc:saved_model:"

FAMILIES = (
    _Family(f"{_SERVING}request_count", "requests", "counter", {"model": "model_name", "code": "status"}),
    _Family(
        f"{_SERVING}request_latency",
        "api_seconds",
        "histogram",
        {"model": "model_name", "api": "API", "entrypoint": "entrypoint"},
        _MICROSECONDS,
    ),
    _Family(
        f"{_SERVING}runtime_latency",
        "runtime_seconds",
        "histogram",
        {"model": "model_name", "api": "API"},
        _MICROSECONDS,
        {"runtime": "TF1"},  # each version runs in a session, which is what that name stands for
    ),
    _Family(
        f"{_SERVING}model_warmup_latency",
        "warmup_seconds",
        "histogram",
        {"path": "model_path", "status": "status"},
        _MICROSECONDS,
    ),
    _Family(f"{_BATCHING}queuing_latency", "queue_seconds", "histogram", {"model": "thread_pool_name"}, _MICROSECONDS),
    _Family(f"{_BATCHING}input_batch_size", "request_rows", "histogram", {}),
    _Family(f"{_BATCHING}processed_batch_size", "padded_batch_rows", "histogram", {}),
    _Family(f"{_BATCHING}padding_size", "padding_rows", "histogram", {}),
    _Family(f"{_BATCHING}wrapped_run_count", "padded_batch_rows", "counter", {}),
    _Family(
        f"{_SAVED_MODEL}load_attempt_count", "load_attempts", "counter", {"path": "model_path", "status": "status"}
    ),
    _Family(f"{_SAVED_MODEL}load_latency", "load_success_seconds", "counter", {"path": "model_path"}, _MICROSECONDS),
)


class Monitoring:
    """An ASGI app in front of another: it answers one path itself.

    directory: where the workers of this server put what they count.
    """

    def __init__(self, app: ASGIApp, path: str, directory: Path) -> None:
        self._app = app
        self._path = path
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        # Every worker's files are read for it.
        text = await asyncio.to_thread(page, registry)
        await Response(text, media_type="text/plain")(scope, receive, send)


def page(registry: CollectorRegistry) -> str:
    """All of our metrics in a registry, each that TF Serving has under its name first."""
    ours = [metric for metric in registry.collect() if metric.name.startswith(PREFIX)]
    by_name = {metric.name.removeprefix(PREFIX): metric for metric in ours}
    lines = [line for family in FAMILIES if family.source in by_name for line in _lines(family, by_name[family.source])]
    return "".join(f"{line}\n" for line in lines) + generate_latest(_Fixed(ours)).decode()


def _lines(family: _Family, metric: Metric) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    summed: dict[str, float] = {}
    for sample in sorted(metric.samples, key=_order):
        if family.kind == "histogram":
            suffix = sample.name.removeprefix(metric.name)
            if suffix not in ("_bucket", "_sum", "_count"):
                continue
        else:
            suffix = ""
            if not sample.name.endswith("_count" if metric.type == "histogram" else "_total"):
                continue
        scale = 1 if suffix in ("_bucket", "_count") else family.scale
        series = f"{family.name}{suffix}{{{','.join(_labels(family, sample))}}}"
        summed[series] = summed.get(series, 0.0) + sample.value * scale
    for series, value in summed.items():
        yield f"{series} {_number(value)}"


def _labels(family: _Family, sample: Sample) -> Iterator[str]:
    for ours, theirs in family.labels.items():
        yield f'{theirs}="{_escaped(sample.labels.get(ours, ""))}"'
    for name, value in (family.constant or {}).items():
        yield f'{name}="{value}"'
    if "le" in sample.labels:
        bound = float(sample.labels["le"]) * family.scale
        yield f'le="{"+Inf" if bound == float("inf") else f"{bound:g}"}"'


def _order(sample: Sample) -> tuple[list[str], int, float]:
    """Series by series, and in each the buckets upwards, then sum and count."""
    bound = sample.labels.get("le")
    series = [value for name, value in sorted(sample.labels.items()) if name != "le"]
    part = 0 if bound is not None else 1 if sample.name.endswith("_sum") else 2
    return series, part, float(bound or 0)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


class _Fixed(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
