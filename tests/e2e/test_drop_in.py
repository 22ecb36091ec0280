"""A server started as TF Serving's container starts: two variables, its flags, a Unix socket and its metrics."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from .asking import ask_grpc, ask_rest, counted
from .servers import START_SECONDS, Server, serving

pytestmark = pytest.mark.timeout(900)

COUNTED = re.compile(r'^:tensorflow:serving:request_count{model_name="affine",status="OK"} (\d+)$', re.MULTILINE)
LATENCY = ':tensorflow:serving:request_latency_count{model_name="affine",API="predict",entrypoint="REST"}'


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket") / "grpc.sock"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toy_models: Path, socket_path: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("drop_in")
    flags = (
        "--enable_batching",
        "--rest_api_num_threads=4",
        "--tensorflow_session_parallelism=1",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=600000",
        f"--grpc_socket_path={socket_path}",
        "--workers=2",
        "--xla=false",
    )
    with serving(folder, *flags, MODEL_NAME="affine", MODEL_BASE_PATH=str(toy_models)) as server:
        server.wait_until_ready()
        yield server


def test_the_model_of_the_variables_answers_by_every_door(server: Server, socket_path: Path) -> None:
    assert ask_rest(server.rest) == [15.0]
    assert ask_grpc(server.grpc) == [15.0]
    assert ask_grpc(f"unix:{socket_path}") == [15.0]


def test_metrics_of_all_workers_add_up_under_tf_servings_names(server: Server) -> None:
    def page() -> str:
        return httpx.get(f"{server.rest}/monitoring/prometheus/metrics", timeout=30).text

    def answered() -> float:
        found = COUNTED.search(page())
        return float(found[1]) if found else 0.0

    before = counted(answered)
    for _ in range(16):
        ask_rest(server.rest)
    assert counted(answered) == before + 16
    assert {answered() for _ in range(4)} == {before + 16}
    assert LATENCY in page()


def test_a_flag_that_is_honoured_in_another_way_says_how(server: Server) -> None:
    (line,) = [line for line in server.log.read_text().splitlines() if "rest_api_num_threads" in line]
    assert "one event loop" in line


def test_the_socket_lives_on_when_the_worker_that_has_it_is_killed(server: Server, socket_path: Path) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "affine"
    (owner,) = [w for w in server.workers() if any(str(socket_path) in c.laddr for c in w.net_connections("unix"))]
    owner.send_signal(signal.SIGKILL)
    began = time.monotonic()
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        assert stub.GetModelStatus(request, timeout=60, wait_for_ready=True).model_version_status
    assert time.monotonic() - began < 8
    limit = time.monotonic() + START_SECONDS
    while server.log.read_text().count("ready after") < 3:  # a stop is slow while a worker starts
        assert time.monotonic() < limit
        time.sleep(0.2)
