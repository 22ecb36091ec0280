"""Starts each peer on free ports, with the forecaster and one model process a core, as ours has."""

import contextlib
import importlib.util
import json
import os
import shutil
import site
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import wires
from benchmarks.cases import Case
from benchmarks.load import Target
from benchmarks.peers.function import VERSION, WORKERS
from benchmarks.processes import Group, running
from benchmarks.wires import Wire
from loadtests.server import free_ports

ROOT = Path(__file__).parents[2]
TRITON = "TRITON_HOME"
"""The environment variable that says where nvidia-pytriton is installed; by default in the environment's `triton`."""

_CONFIG = """
name: "forecaster"
backend: "python"
max_batch_size: 64
input [
  {{ name: "history" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "end_day" data_type: TYPE_INT32 dims: [ 1 ] reshape {{ shape: [ ] }} }}
]
output [
  {{ name: "mean" data_type: TYPE_FP32 dims: [ 7 ] }},
  {{ name: "quantiles" data_type: TYPE_FP32 dims: [ 7, 9 ] }}
]
instance_group [ {{ count: {workers} kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""


class Missing(RuntimeError):
    """A peer is not installed; the message says how to have it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that runs: its processes, if they bear to be stopped, and a target for each of its wires by name."""

    group: Group | None
    targets: Mapping[str, Target]


@contextlib.contextmanager
def bentoml(version: Path, case: Case, workers: int, logs: Path) -> Iterator[Peer]:
    """BentoML's own service, one worker process a core."""
    (port,) = free_ports(1)
    command = [Path(sys.executable).with_name("bentoml"), "serve", "benchmarks.peers.bento_service:Forecaster"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    rows = np.concatenate([case.inputs["history"], case.inputs["end_day"][:, np.newaxis]], axis=1)

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        return np.array(json.loads(answer))[:, :7]

    wire = Wire("REST", "/forecast", json.dumps({"series": rows.tolist()}).encode(), read)
    with running(
        command, _answers(f"http://127.0.0.1:{port}/readyz"), logs / "bentoml.log", _environment(version, workers), ROOT
    ) as group:
        yield Peer(group, {"BentoML REST": Target(f"127.0.0.1:{port}", wire)})


@contextlib.contextmanager
def litserve(version: Path, case: Case, workers: int, logs: Path) -> Iterator[Peer]:
    """LitServe, one model process and one HTTP process a core."""
    if importlib.util.find_spec("litserve") is None:
        raise Missing("not installed; `make bench` installs it, or pip install litserve")
    (port,) = free_ports(1)
    row = {name: array[0].tolist() for name, array in case.inputs.items()}

    def read(answer: bytes, _: Mapping[str, str]) -> np.ndarray:
        return np.array(json.loads(answer)["mean"])

    wire = Wire("REST", "/predict", json.dumps(row).encode(), read)
    with running(
        [sys.executable, "-m", "benchmarks.peers.lit_server", str(port)],
        _answers(f"http://127.0.0.1:{port}/health"),
        logs / "litserve.log",
        _environment(version, workers),
        ROOT,
    ) as group:
        yield Peer(group, {"LitServe REST": Target(f"127.0.0.1:{port}", wire)})


@contextlib.contextmanager
def triton(version: Path, case: Case, workers: int, logs: Path) -> Iterator[Peer]:
    """Triton's own binary with its Python backend, one model process a core."""
    home = _triton_home()
    # Triton takes no tensor that has rows and nothing else.
    case = Case(case.model, {name: array.reshape(case.rows, -1) for name, array in case.inputs.items()})
    grpc_port, http_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="benchmark-triton-") as made:
        models, backends = Path(made, "models"), Path(made, "backends")
        (models / "forecaster" / "1").mkdir(parents=True)
        (models / "forecaster" / "config.pbtxt").write_text(_CONFIG.format(workers=workers))
        shutil.copy(Path(__file__).with_name("triton_model.py"), models / "forecaster" / "1" / "model.py")
        shutil.copytree(home / "backends" / "python", backends / "python")
        stub = home / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
        shutil.copy(stub / "triton_python_backend_stub", backends / "python")
        command: list[str | Path] = [home / "bin" / "tritonserver", "--model-repository", models]
        command += ["--backend-directory", backends, "--allow-metrics", "false", "--http-address", "127.0.0.1"]
        command += ["--grpc-address", "127.0.0.1", "--http-port", str(http_port), "--grpc-port", str(grpc_port)]
        # Its numpy comes first: the backend was built for numpy 1, and gives wrong sizes with 2.
        paths = [str(home.parents[1]), str(ROOT), *site.getsitepackages()]
        environment = _environment(version, workers) | {
            "PYTHONPATH": os.pathsep.join(paths),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, _libraries(home))),
        }
        ready = _answers(f"http://127.0.0.1:{http_port}/v2/health/ready")
        with running(command, ready, logs / "triton.log", environment):
            yield Peer(
                None,  # once stopped, it ends with a fault; idle, it costs nothing
                {
                    "Triton gRPC": Target(f"127.0.0.1:{grpc_port}", wires.infer(case)),
                    "Triton REST, JSON": Target(f"127.0.0.1:{http_port}", wires.infer_json(case)),
                    "Triton REST, binary": Target(f"127.0.0.1:{http_port}", wires.infer_binary(case)),
                },
            )


PEERS = {"Triton": triton, "BentoML": bentoml, "LitServe": litserve}


def _triton_home() -> Path:
    home = Path(os.environ.get(TRITON, Path(sys.prefix, "triton"))) / "pytriton" / "tritonserver"
    if not (home / "bin" / "tritonserver").is_file():
        raise Missing(f"not installed; expected nvidia-pytriton in {home.parents[1]}, where `make bench` puts it")
    return home


def _libraries(home: Path) -> list[Path]:
    """Where the backend finds this interpreter's library, and those that came with Triton."""
    return [Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"), home.parents[1] / "nvidia_pytriton.libs"]


def _environment(version: Path, workers: int) -> dict[str, str]:
    return {VERSION: str(version.resolve()), WORKERS: str(workers), "BENTOML_DO_NOT_TRACK": "1"}


def _answers(url: str) -> partial[bool]:
    return partial(_has_answered, url)


def _has_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
