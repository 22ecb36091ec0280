"""TF Serving's metrics, from what workers counted."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from serving.errors import Code
from serving.metrics import Metrics
from serving.rest.monitoring import FAMILIES, page
from serving.servables.batching import BatchReport


@pytest.fixture
def shown() -> str:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.answered("sum", Code.OK, 0.002)
    metrics.answered("sum", Code.OK, 0.004)
    metrics.refused("sum", Code.INVALID_ARGUMENT)
    metrics.served("sum", "predict", "REST", 0.0025)
    metrics.served("sum", "predict", "REST", 0.7)
    metrics.computed("sum", "predict", 0.001)
    metrics.computed("sum", "Predict", 0.003)
    report = BatchReport(
        rows=3, padded_rows=4, waits=[0.001, 0.0], seconds=0.01, elements=9, padded_elements=12, request_rows=[1, 2]
    )
    metrics.ran("sum", report)
    metrics.ran("other", report)
    metrics.load_attempted("/models/sum/1", True, 1.5)
    metrics.load_attempted("/models/sum/1", False, 1.5)
    metrics.warmed_up("/models/sum/1", True, 0.25)
    return page(registry)


@pytest.mark.parametrize(
    "line",
    [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="sum",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="sum",status="INVALID_ARGUMENT"} 1',
        "# TYPE :tensorflow:serving:request_latency histogram",
        ':tensorflow:serving:request_latency_bucket{model_name="sum",API="predict",entrypoint="REST",le="10"} 0',
        ':tensorflow:serving:request_latency_bucket{model_name="sum",API="predict",entrypoint="REST",le="3570.47"} 1',
        ':tensorflow:serving:request_latency_bucket{model_name="sum",API="predict",entrypoint="REST",le="708235"} 2',
        ':tensorflow:serving:request_latency_bucket{model_name="sum",API="predict",entrypoint="REST",le="+Inf"} 2',
        ':tensorflow:serving:request_latency_sum{model_name="sum",API="predict",entrypoint="REST"} 702500',
        ':tensorflow:serving:request_latency_count{model_name="sum",API="predict",entrypoint="REST"} 2',
        ':tensorflow:serving:runtime_latency_count{model_name="sum",API="Predict",runtime="TF1"} 2',
        ':tensorflow:serving:model_warmup_latency_sum{model_path="/models/sum/1",status="success"} 250000',
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="sum"} 2',
        ":tensorflow:serving:batching_session:input_batch_size_sum{} 6",
        ':tensorflow:serving:batching_session:processed_batch_size_bucket{le="4"} 2',
        ":tensorflow:serving:batching_session:padding_size_sum{} 2",
        ":tensorflow:serving:batching_session:wrapped_run_count{} 2",
        ':tensorflow:cc:saved_model:load_attempt_count{model_path="/models/sum/1",status="fail"} 1',
        ':tensorflow:cc:saved_model:load_latency{model_path="/models/sum/1"} 1500000',
        'seqserve_requests_total{code="OK",model="sum"} 2.0',
    ],
)
def test_tf_servings_metrics_stand_beside_ours(shown: str, line: str) -> None:
    assert line in shown.splitlines()


def test_every_line_is_prometheus_text(shown: str) -> None:
    series = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="([^"\\]|\\.)*",?)*\})? (NaN|[-+]?[\d.]+(e[-+]\d+)?)')
    for line in shown.splitlines():
        assert line.startswith("# ") or series.fullmatch(line), line
    names = [line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_buckets_grow_and_end_in_the_count(shown: str) -> None:
    bucket = re.compile(r':tensorflow:serving:request_latency_bucket\{.*le="(.+)"\} (\d+)')
    found = [(float(match[1]), int(match[2])) for match in map(bucket.fullmatch, shown.splitlines()) if match]
    assert len(found) == 34
    assert found == sorted(found)


def test_labels_are_escaped() -> None:
    registry = CollectorRegistry()
    Metrics(registry).answered('a"b\\c', Code.OK, 0.1)
    assert ':tensorflow:serving:request_count{model_name="a\\"b\\\\c",status="OK"} 1' in page(registry)


def test_every_metric_of_tf_serving_is_documented() -> None:
    table = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text()
    documented = re.findall(r"^\| `(:tensorflow:[\w:]+)` \|(.*?)\|", table, flags=re.MULTILINE)
    known = [(f.name, ", ".join(f"`{label}`" for label in (*f.labels.values(), *(f.constant or {})))) for f in FAMILIES]
    assert [(name, labels.strip()) for name, labels in documented] == known
