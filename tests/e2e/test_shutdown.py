"""How a server ends: asked to, out of time, orphaned, or before it has begun."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from .asking import WEEK
from .servers import HOST, ROOT, environment, free_ports, serving

# A busy machine may take minutes to import TensorFlow.
pytestmark = pytest.mark.timeout(900)

PATIENCE = 400
BENTOML = (sys.executable, "-m", "bentoml", "serve", "serving.service:SeqServe")


async def post(base: str, seconds: float) -> int:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        answer = await client.post(f"{base}/v1/models/sleeper:predict", json={"inputs": {"seconds": [seconds]}})
        return answer.status_code


async def forecast(base: str) -> int:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        answer = await client.post(f"{base}/forecast", json={"values": WEEK})
        return answer.status_code


async def infer(address: str, seconds: float) -> str:
    request = service_pb2.ModelInferRequest(model_name="sleeper")
    request.inputs.add(name="seconds", datatype="FP32", shape=[1]).contents.fp32_contents.append(seconds)
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=PATIENCE)
    return str(answer.model_version)


async def status_after(url: str, status: int) -> int | None:
    """The first other status; None where connections are refused."""
    async with httpx.AsyncClient(timeout=PATIENCE, headers={"connection": "close"}) as client:
        with contextlib.suppress(httpx.TransportError):
            while (answer := await client.get(url)).status_code == status:
                await asyncio.sleep(0.02)
            return answer.status_code
    return None


async def test_what_was_accepted_is_answered_on_every_port(tmp_path: Path, toy_models: Path) -> None:
    flags = ["--models", str(toy_models), "--workers", "1", "--xla", "false"]
    flags += ["--request_timeout_seconds", str(PATIENCE), "--grace_period_seconds", "120"]
    with serving(tmp_path, *flags) as server:
        await asyncio.to_thread(server.wait_for, "/livez")
        early = asyncio.create_task(forecast(server.http))
        assert (await asyncio.to_thread(httpx.get, f"{server.http}/readyz", timeout=30)).status_code == 503
        assert await early == 200, "a typed request that comes while models load waits for them"
        await asyncio.to_thread(server.wait_until_ready)

        waiting = [post(server.http, 3.0), post(server.rest, 3.0), infer(server.grpc, 3.0)]
        tasks = [asyncio.create_task(task) for task in waiting]
        await asyncio.sleep(2.0)
        server.process.send_signal(signal.SIGTERM)
        assert await status_after(f"{server.http}/readyz", 200) == 503
        assert await status_after(f"{server.rest}/v2/health/live", 200) is None
        assert await asyncio.gather(*tasks) == [200, 200, "1"]
        assert await asyncio.to_thread(server.process.wait, 120) == 0
        assert "Traceback" not in server.log.read_text()


async def test_the_grace_period_is_kept(tmp_path: Path, toy_models: Path) -> None:
    flags = ["--models", str(toy_models), "--workers", "1", "--xla", "false", "--grace_period_seconds", "3"]
    flags += ["--request_timeout_seconds", str(PATIENCE)]
    with serving(tmp_path, *flags) as server:
        await asyncio.to_thread(server.wait_until_ready)
        endless = [asyncio.create_task(post(server.http, 50.0)), asyncio.create_task(post(server.rest, 50.0))]
        await asyncio.sleep(1.0)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert time.monotonic() - began < 20
        await asyncio.gather(*endless, return_exceptions=True)


def test_workers_end_with_the_process_that_started_them(tmp_path: Path, toy_models: Path) -> None:
    variables = {"SEQSERVE_MODELS": str(toy_models), "SEQSERVE_WORKERS": "1", "SEQSERVE_XLA": "false"}
    with serving(tmp_path, command=BENTOML, **variables) as server:
        server.wait_until_ready()
        (worker,) = server.workers()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        psutil.wait_procs([worker], timeout=30)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("command", [(sys.executable, "-m", "serving"), BENTOML], ids=["serving", "bentoml"])
@pytest.mark.parametrize("taken", ["http_port", "port", "rest_api_port"])
def test_a_port_that_is_taken_ends_the_start_with_one_line(
    tmp_path: Path, command: tuple[str, ...], taken: str
) -> None:
    (tmp_path / "models").mkdir()
    names = ("http_port", "port", "rest_api_port")
    ports = dict(zip(names, free_ports(3), strict=True))
    variables = {f"SEQSERVE_{name.upper()}": str(port) for name, port in ports.items()}
    with socket.socket() as other:
        other.bind((HOST, ports[taken]))
        other.listen()
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(tmp_path, SEQSERVE_HOST=HOST, SEQSERVE_MODELS=str(tmp_path / "models"), **variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert ended.returncode != 0
    assert f"port {ports[taken]} ({taken})" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_directory_of_models_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [*BENTOML]
    variables = environment(tmp_path, SEQSERVE_MODELS="nowhere", SEQSERVE_HOST=HOST)
    ports = zip(("HTTP_PORT", "PORT", "REST_API_PORT"), free_ports(3), strict=True)
    variables |= {f"SEQSERVE_{name}": str(port) for name, port in ports}
    ended = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode != 0
    assert "models: expected a directory. Received: 'nowhere'" in ended.stderr
