"""One server with two workers, asked on all its ports, in order: the last test kills a worker."""

import io
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .asking import WEEK, ask_grpc, ask_rest, counted
from .servers import START_SECONDS, Server, serving

# A busy machine may take minutes to import TensorFlow in three processes.
pytestmark = pytest.mark.timeout(900)


def requests_total(server: Server, model: str, code: str) -> float:
    """What the next worker that is asked counts over all workers."""
    page = httpx.get(f"{server.http}/metrics", timeout=30).text
    found = re.search(rf'^seqserve_requests_total\{{code="{code}",model="{model}"\}} ([\d.]+)$', page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toy_models: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    flags = ("--models", str(toy_models), "--workers", "2", "--xla", "false", "--max_message_bytes", "100000")
    with serving(folder, *flags) as server:
        server.wait_until_ready()
        yield server


def test_every_port_answers(server: Server) -> None:
    assert ask_rest(server.rest) == [15.0]
    assert ask_rest(server.http) == [15.0]
    assert ask_grpc(server.grpc) == [15.0]


def test_every_port_says_that_it_is_ready(server: Server) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    for base in (server.rest, server.http):
        assert httpx.get(f"{base}/v2/health/ready", timeout=30).status_code == 200


def test_the_typed_api_forecasts(server: Server) -> None:
    body = {"values": WEEK, "last_date": "2019-05-31"}
    answer = httpx.post(f"{server.http}/forecast", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    forecast = answer.json()
    assert (forecast["model"], forecast["version"]) == ("forecaster", 1)
    assert forecast["dates"][0] == "2019-06-01"
    assert forecast["mean"] == pytest.approx([sum(WEEK) / 7] * 7)
    assert list(forecast["quantiles"]) == [f"0.{level}" for level in range(1, 10)]


@pytest.mark.parametrize(
    ("path", "content", "status", "expected"),
    [
        ("/forecast", b'{"values": [1, 2', 400, "JSON"),
        ("/forecast", b'{"values": [1, 2, "x", 4, 5, 6, 7]}', 400, "values"),
        ("/forecast", b"[]", 400, "expected"),
        ("/classify_sketch", b'{"strokes": [[1, 1, 0], [1, 1, 1]]}', 404, "sketchrnn"),
        ("/classify_video", b'{"video": "http://127.0.0.1/clip.mp4"}', 400, "multipart/form-data"),
        ("/v1/models/affine:predict", b"{", 400, ""),
        ("/v1/models/nobody:predict", b'{"instances": [1]}', 404, "nobody"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    server: Server, path: str, content: bytes, status: int, expected: str
) -> None:
    answer = httpx.post(
        f"{server.http}{path}", content=content, headers={"content-type": "application/json"}, timeout=30
    )
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert expected in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert ask_rest(server.http) == [15.0]


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    values = "1," * 100_000
    for path in ("/forecast", "/v1/models/affine:predict"):
        answer = httpx.post(f"{server.http}{path}", content=f'{{"values": [{values}1]}}', timeout=30)
        assert answer.status_code in (400, 413)
        assert "100,000" in answer.text or "100000" in answer.text


def test_the_api_page_shows_every_endpoint_with_an_example(server: Server) -> None:
    assert httpx.get(server.http, timeout=30).status_code == 200
    page = httpx.get(f"{server.http}/docs.json", timeout=30)
    for path in ("/forecast", "/classify_sketch", "/classify_video"):
        assert path in page.json()["paths"]
    assert '"drawing"' in page.text
    assert "2019-05-31" in page.text


def test_metrics_add_up_over_workers(server: Server) -> None:
    before = counted(lambda: requests_total(server, "affine", "OK"))
    for _ in range(16):
        ask_rest(server.rest)
    assert counted(lambda: requests_total(server, "affine", "OK")) == before + 16
    assert {requests_total(server, "affine", "OK") for _ in range(8)} == {before + 16}


def test_what_is_refused_is_counted(server: Server) -> None:
    before = counted(lambda: requests_total(server, "forecaster", "INVALID_ARGUMENT"))
    for path in ("/forecast", "/v1/models/forecaster:predict", "/v2/models/forecaster/infer"):
        assert httpx.post(f"{server.http}{path}", content=b"{", timeout=30).status_code == 400
    assert counted(lambda: requests_total(server, "forecaster", "INVALID_ARGUMENT")) == before + 3


def test_nobody_works_for_a_caller_of_the_typed_api_who_has_hung_up(server: Server) -> None:
    clip = io.BytesIO()
    with av.open(clip, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=10, width=64, height=48, pix_fmt="yuvj420p")
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuvj420p")))
        container.mux(stream.encode())
    files = {"video": clip.getvalue()}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.http}/classify_video", files=files, timeout=httpx.Timeout(30, read=3))
    limit = time.monotonic() + 20
    while 'code="CANCELLED",model="video"} 1.0' not in httpx.get(f"{server.http}/metrics", timeout=30).text:
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_the_log_says_what_is_served_where(server: Server) -> None:
    log = server.log.read_text()
    ports = [base.rpartition(":")[2] for base in (server.http, server.grpc, server.rest)]
    (line,) = [line for line in log.splitlines() if all(port in line for port in ports)]
    assert "workers: 2" in line
    assert "affine 1" in log
    assert "Traceback" not in log
    assert not re.search(r"cpu_feature_guard|cuda|oneDNN", log)


def test_a_worker_that_is_killed_comes_back_while_the_other_serves(server: Server) -> None:
    first, second = server.workers()
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    for _ in range(8):
        assert ask_rest(server.rest) == [15.0]
        assert ask_rest(server.http) == [15.0]
        assert ask_grpc(server.grpc) == [15.0]
    limit = time.monotonic() + START_SECONDS
    while server.log.read_text().count("ready after") < 3:
        assert time.monotonic() < limit, server.log.read_text()
        time.sleep(0.2)
    assert second.pid in {worker.pid for worker in server.workers()}
    assert len(server.workers()) == 2
    assert ask_rest(server.rest) == [15.0]
    limit = time.monotonic() + 10
    while 'seqserve_version_loaded{model="affine",version="1"} 2.0' not in (
        page := httpx.get(f"{server.http}/metrics").text
    ):
        loaded = re.findall(r"seqserve_version_loaded\{.*", page)
        assert time.monotonic() < limit, loaded
        time.sleep(0.2)
