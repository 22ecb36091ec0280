"""The Bento: built as `make bento` builds it, installed from its own requirements alone, served from its own files."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uv
from packaging.requirements import Requirement

from serving.bento import requirements

from .asking import WEEK, ask_grpc_ready
from .servers import ROOT, Server, environment, serving

pytestmark = pytest.mark.timeout(900)

CONSTRAINTS = (ROOT / "constraints.txt").read_text()
SHIPPED = ("forecaster", "sketchrnn", "video")


def run(*command: str, home: Path) -> None:
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False, timeout=400
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bento")
    home = folder / "bentoml"
    home.mkdir()
    run(sys.executable, "-m", "serving.bento", home=home)
    bento = home / "bentos" / "seqserve" / (home / "bentos" / "seqserve" / "latest").read_text()
    python = folder / "venv" / "bin" / "python"
    pins = bento / "env" / "python" / "requirements.txt"
    run(uv.find_uv_bin(), "venv", "--python", sys.executable, str(folder / "venv"), home=home)
    run(uv.find_uv_bin(), "pip", "install", "--python", str(python), "--requirement", str(pins), home=home)
    command = (str(python), "-m", "bentoml", "serve", ".")
    with serving(folder, command=command, cwd=bento, SEQSERVE_WORKERS="1", SEQSERVE_XLA="false") as server:
        server.wait_until_ready()
        yield server


def test_the_models_came_with_it(server: Server) -> None:
    log = server.log.read_text()
    for name in SHIPPED:
        assert f"{name} 1" in log
        assert ask_grpc_ready(server.grpc, name)
        status = httpx.get(f"{server.rest}/v1/models/{name}", timeout=30).json()
        assert status["model_version_status"][0]["state"] == "AVAILABLE"


def test_the_typed_api_answers(server: Server) -> None:
    answer = httpx.post(f"{server.http}/forecast", json={"values": WEEK * 8}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["mean"]) == 7
    drawing = {"drawing": [[[20, 20, 110, 110, 20], [120, 60, 60, 120, 120]]]}
    answer = httpx.post(f"{server.http}/classify_sketch", json=drawing, timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["classes"]) == 5


def test_rest_answers(server: Server) -> None:
    instances = {"instances": [{"history": WEEK * 8, "end_day": -1}]}
    answer = httpx.post(f"{server.rest}/v1/models/forecaster:predict", json=instances, timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"][0]["mean"]) == 7


def test_requirements_are_pinned_and_those_of_the_server_only() -> None:
    pins = {Requirement(line).name: line for line in requirements(CONSTRAINTS)}
    assert pins["tensorflow"].startswith("tensorflow==")
    assert "bentoml" in pins
    assert "pytest" not in pins
    assert "locust" not in pins
    assert all("==" in line for line in pins.values())


def test_on_a_gpu_tensorflow_brings_cuda() -> None:
    pins = requirements(CONSTRAINTS, gpu=True)
    assert any(pin.startswith("tensorflow[and-cuda]==") for pin in pins)


def test_both_bentofiles_differ_in_what_a_gpu_needs_only() -> None:
    plain = (ROOT / "bentofile.yaml").read_text().splitlines()
    gpu = (ROOT / "bentofile.gpu.yaml").read_text().splitlines()
    extra = [line for line in gpu[1:] if line.replace("-gpu", "") not in plain]
    assert all("NVIDIA" in line or "value" in line for line in extra), extra
