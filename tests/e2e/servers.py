"""Whole servers for tests: started as people start them, on free ports, and stopped with all their processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS = 400


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The test's environment without settings of the server, with a BentoML home and a cache of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SEQSERVE_", "BENTOML_"))}
    own = {"BENTOML_HOME": str(home), "SEQSERVE_XLA_CACHE_DIRECTORY": str(home / "xla")}
    return {**kept, "BENTOML_DO_NOT_TRACK": "1", **own, **more}


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    log: Path
    http: str
    grpc: str
    rest: str

    def workers(self) -> list[psutil.Process]:
        return [p for p in psutil.Process(self.process.pid).children() if p.status() != psutil.STATUS_ZOMBIE]

    def is_up(self, path: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.http}{path}", timeout=10).status_code == 200
        return False

    def wait_for(self, path: str) -> None:
        """Until `path` on the typed API's port answers 200."""
        limit = time.monotonic() + START_SECONDS
        while not self.is_up(path):
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            assert time.monotonic() < limit, f"{path} is not up after {START_SECONDS} s:\n{self.log.read_text()}"
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        """Until every worker is: each connection may meet another one."""
        for _ in range(2):
            self.wait_for("/readyz")
        limit = time.monotonic() + START_SECONDS
        while self.log.read_text().count("ready after") < len(self.workers()):
            assert time.monotonic() < limit, f"not every worker is ready:\n{self.log.read_text()}"
            time.sleep(0.1)


@contextlib.contextmanager
def serving(
    folder: Path,
    *flags: str,
    command: tuple[str, ...] = (sys.executable, "-m", "serving"),
    cwd: Path = ROOT,
    **variables: str,
) -> Iterator[Server]:
    """A server that is starting; `folder` gets its log and its BentoML home."""
    http, grpc, rest = free_ports(3)
    log = folder / "server.log"
    ports = {"SEQSERVE_HTTP_PORT": http, "SEQSERVE_PORT": grpc, "SEQSERVE_REST_API_PORT": rest}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *flags],
            cwd=cwd,
            env=environment(
                folder / "bentoml",
                SEQSERVE_HOST=HOST,
                **{key: str(port) for key, port in ports.items()},
                **variables,
            ),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Server(process, log, f"http://{HOST}:{http}", f"{HOST}:{grpc}", f"http://{HOST}:{rest}")
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            # Its session's group is this server and nothing else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
