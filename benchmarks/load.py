"""Load from programs in C, so that the client costs little: h2load for gRPC, wrk for REST.

Each runs for some seconds with some connections, one request at a time on each, and gives answers a second, and p50
and p99 in ms. Raises LoadError where not every request was answered with success.
"""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.wires import Wire

Figures = Mapping[str, float]
TOLERANCE = 1e-3
PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk"}

_WRK = """
local wires = {{ {wires} }}
local which = 0
local requests = {{}}
init = function()
  for index, wire in ipairs(wires) do
    local file = io.open(wire.body, "rb")
    requests[index] = wrk.format("POST", wire.path, wire.headers, file:read("*a"))
    file:close()
  end
end
request = function()
  which = which % #requests + 1
  return requests[which]
end
done = function(summary, latency)
  local bad = summary.errors
  print(string.format('figures {{"rate": %f, "p50": %f, "p99": %f, "failed": %d}}',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
"""


class LoadError(RuntimeError):
    """The load did not run, or not every request succeeded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A request and the server to send it to; address: host:port."""

    address: str
    wire: Wire

    def ask(self) -> bytes:
        """Asks once; gives the answer as it came."""
        return self._asked()[0]

    def check(self, expected: np.ndarray) -> None:
        """Asks once; raises ValueError where the answer is not `expected`, the model's own."""
        answer = self.wire.read(*self._asked())
        if answer.size != expected.size or not np.allclose(
            answer, expected.ravel(), rtol=TOLERANCE, atol=TOLERANCE * float(np.abs(expected).max(initial=1.0))
        ):
            raise ValueError(f"expected {self.wire.path} to answer {expected.ravel()[:7]}. Received: {answer[:7]}")

    def load(self, connections: int, seconds: float) -> Figures:
        """The load that fits its protocol."""
        if self.wire.protocol == "gRPC":
            return grpc_load(self, connections, seconds)
        return rest_load([self], connections, seconds)

    def _asked(self) -> tuple[bytes, Mapping[str, str]]:
        try:
            if self.wire.protocol == "gRPC":
                with grpc.insecure_channel(self.address, [("grpc.max_receive_message_length", -1)]) as channel:
                    return channel.unary_unary(self.wire.path)(self.wire.body, timeout=60), {}
            url = f"http://{self.address}{self.wire.path}"
            request = urllib.request.Request(url, self.wire.body, self.wire.headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read(), {name.lower(): value for name, value in answer.headers.items()}
        except (grpc.RpcError, OSError) as error:
            raise LoadError(f"expected {self.wire.path} to answer. Received: {error}") from error


def missing_programs() -> list[str]:
    """What of h2load and wrk is not installed, with the package that has it."""
    return [f"{name} (Debian: {package})" for name, package in PACKAGES.items() if shutil.which(name) is None]


def grpc_load(target: Target, connections: int, seconds: float) -> Figures:
    """One gRPC message again and again, by h2load."""
    size = len(framed(target.ask()))
    with tempfile.TemporaryDirectory() as folder:
        command, log = h2load(target, folder)
        output = run(*command, "--duration", f"{seconds:g}", "--clients", str(connections))
        # A line for each whole answer: start in us, HTTP status, duration in us.
        lines = [line.split() for line in log.read_text().splitlines()]
    check_grpc(output, size, len(lines))
    p50, p99 = np.percentile([int(duration) for _, _, duration in lines], [50, 99]) / 1e3
    return {"rate": len(lines) / seconds, "p50": float(p50), "p99": float(p99)}


def grpc_count(target: Target, connections: int, requests: int) -> None:
    """One gRPC message so many times."""
    size = len(framed(target.ask()))
    with tempfile.TemporaryDirectory() as folder:
        command, log = h2load(target, folder)
        output = run(*command, "--requests", str(requests), "--clients", str(connections))
        check_grpc(output, size, len(log.read_text().splitlines()))


def h2load(target: Target, folder: str) -> tuple[list[str], Path]:
    """The command for a gRPC target but for how it loads, and the file that it will log to."""
    body, log = Path(folder, "body"), Path(folder, "log")
    body.write_bytes(framed(target.wire.body))
    headers = ("content-type: application/grpc", "te: trailers", ":method: POST")
    command = ["h2load", "--threads", "1", "--data", str(body), "--log-file", str(log)]
    command += [word for header in headers for word in ("--header", header)]
    return [*command, f"http://{target.address}{target.wire.path}"], log


def check_grpc(output: str, size: int, answers: int) -> None:
    """Raises LoadError unless what h2load says is that so many answers of `size` bytes came, and no failure."""
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    data = re.search(r"\((\d+)\) data$", output, re.MULTILINE)
    # gRPC's own errors are HTTP's 200 too, but carry no data.
    if not failed or any(map(int, failed.groups())) or not data or int(data[1]) < 0.99 * size * answers or not answers:
        raise LoadError(f"expected every gRPC request to succeed. Received: {output}")


def rest_load(targets: Sequence[Target], connections: int, seconds: float) -> Figures:
    """Requests to one server in turn, by wrk."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        wires = []
        for number, target in enumerate(targets):
            body = Path(folder, f"body{number}")
            body.write_bytes(target.wire.body)
            headers = ", ".join(f'["{name}"] = "{value}"' for name, value in target.wire.headers.items())
            wires.append(f'{{path = "{target.wire.path}", body = "{body}", headers = {{{headers}}}}}')
        script.write_text(_WRK.format(wires=",\n  ".join(wires)))
        output = run(
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"),
            *("--timeout", "60s", "--script", str(script), f"http://{targets[0].address}"),
        )
    found = re.search(r"^figures (.*)$", output, re.MULTILINE)
    figures = json.loads(found[1]) if found else {"failed": 1}
    if figures.pop("failed"):
        raise LoadError(f"expected every REST request to succeed. Received: {output}")
    return figures


def framed(message: bytes) -> bytes:
    """As one uncompressed gRPC message."""
    return b"\0" + len(message).to_bytes(4) + message


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise LoadError(f"expected {command[0]} to exit with 0, got {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
