"""A server for the time of a run: started on free ports, stopped with SIGTERM, its log kept beside the reports."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 300.0
READY_IN_A_ROW = 6
"""Each connection may meet another worker."""
WARM_SECONDS = 120.0
STILL_WARM_SECONDS = 2.0
"""Nothing must be left for so long: workers say once a second what they have left to compile."""
LOOK_SECONDS = 0.2
STOP_SECONDS = 45.0
"""A little more than the server's own grace period."""


class ServerError(RuntimeError):
    """The server did not start, or did not stop as it should; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server's three ports are."""

    http_url: str
    rest_url: str
    grpc_target: str

    @classmethod
    def usual(cls, host: str) -> "Addresses":
        """The ports that a server has by default."""
        return cls(f"http://{host}:3000", f"http://{host}:8501", f"{host}:8500")


@contextmanager
def started(log: Path, flags: Sequence[str] = ()) -> Iterator[Addresses]:
    """Runs `python -m serving` on free ports until the block ends.

    Raises ServerError where it is not ready in time, or does not exit with 0.
    """
    http_port, port, rest_port = free_ports(3)
    command = [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--http_port", str(http_port)]
    command += ["--port", str(port), "--rest_api_port", str(rest_port), *flags]
    addresses = Addresses(f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{rest_port}", f"127.0.0.1:{port}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # A group of its own: what its workers leave behind can be ended with it, and Ctrl-C reaches only us.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "BENTOML_DO_NOT_TRACK": "1"},
        )
        try:
            _wait_until_ready(process, addresses, log)
            wait_until_warm(addresses.http_url)
            yield addresses
        finally:
            code = _stop(process)
    if code != 0:
        raise ServerError(f"expected the server to exit with 0, got {code}\n{_last_words(log)}")


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait_until_ready(process: subprocess.Popen[bytes], addresses: Addresses, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    in_a_row = 0
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(f"the server ended with {process.returncode} as it started\n{_last_words(log)}")
        in_a_row = in_a_row + 1 if _ready(addresses) else 0
        if in_a_row == READY_IN_A_ROW:
            return
        time.sleep(0.2)
    raise ServerError(f"the server was not ready within {READY_SECONDS:g} s\n{_last_words(log)}")


def wait_until_warm(http_url: str, seconds: float = WARM_SECONDS) -> bool:
    """Wait until no worker has shapes left to compile; gives False, and says so, where that takes longer."""
    return warm_since(http_url, seconds) is not None


def warm_since(http_url: str, seconds: float = WARM_SECONDS) -> float | None:
    """Wait as `wait_until_warm` does; gives when that was first seen, on the clock of time.monotonic()."""
    end = time.monotonic() + seconds
    print(f"waiting until the server has compiled its models, {seconds:g} s at most", flush=True)
    since, left = None, math.inf
    while (now := time.monotonic()) < end:
        left = _shapes_to_compile(http_url)
        if left:
            since = None
        elif since is None:
            since = now
        elif now - since >= STILL_WARM_SECONDS:
            return since
        time.sleep(LOOK_SECONDS)
    print(f"the server still compiles ({left:g} shapes left): these figures are not those of a warm one", flush=True)
    return None


def _shapes_to_compile(http_url: str) -> float:
    """The sum over models and workers; infinity where the server does not say."""
    try:
        with urllib.request.urlopen(f"{http_url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return math.inf
    samples = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("seqserve_shapes_to_compile{")]
    return sum(samples) if samples else math.inf


def _ready(addresses: Addresses) -> bool:
    urls = (f"{addresses.http_url}/readyz", f"{addresses.rest_url}/v2/health/ready")
    try:
        for url in urls:
            urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return -1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
