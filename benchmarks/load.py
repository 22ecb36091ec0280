"""Load from programs in C, so that the client costs little: h2load for gRPC, wrk for REST.

Each runs for some seconds with some connections, one request at a time on each, and gives answers a second, and p50
and p99 in ms. Raises LoadError where not every request was answered with success.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from loadtests import tfserving
from loadtests.server import Addresses

Figures = Mapping[str, float]

_WRK = """
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["content-type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency)
  local bad = summary.errors
  print(string.format('figures {{"rate": %f, "p50": %f, "p99": %f, "failed": %d}}',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
"""


class LoadError(RuntimeError):
    """The load did not run, or not every request succeeded."""


def grpc_load(case: Case, addresses: Addresses, connections: int, seconds: float) -> Figures:
    """Predict over TF Serving's gRPC by h2load."""
    size = 5 + len(case.predict(addresses))
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(case.grpc_body)
        output = _run(
            *("h2load", "--duration", f"{seconds:g}", "--clients", str(connections), "--threads", "1"),
            *("--header", "content-type: application/grpc", "--header", "te: trailers", "--header", ":method: POST"),
            *("--data", str(body), "--log-file", str(log), f"http://{addresses.grpc_target}{tfserving.PREDICT}"),
        )
        # A line for each whole answer: start in us, HTTP status, duration in us.
        lines = [line.split() for line in log.read_text().splitlines()]
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    data = re.search(r"\((\d+)\) data$", output, re.MULTILINE)
    # gRPC's own errors are HTTP's 200 too, but carry no data.
    if not failed or any(map(int, failed.groups())) or not data or int(data[1]) < 0.99 * size * len(lines) or not lines:
        raise LoadError(f"expected every gRPC request to succeed. Received: {output}")
    p50, p99 = np.percentile([int(duration) for _, _, duration in lines], [50, 99]) / 1e3
    return {"rate": len(lines) / seconds, "p50": p50, "p99": p99}


def rest_load(case: Case, addresses: Addresses, connections: int, seconds: float) -> Figures:
    """:predict over TF Serving's REST by wrk."""
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(case.rest_body)
        script.write_text(_WRK.format(path=case.rest_path, body=body))
        output = _run(
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"),
            *("--script", str(script), addresses.rest_url),
        )
    found = re.search(r"^figures (.*)$", output, re.MULTILINE)
    figures = json.loads(found[1]) if found else {"failed": 1}
    if figures.pop("failed"):
        raise LoadError(f"expected every REST request to succeed. Received: {output}")
    return figures


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise LoadError(f"expected {command[0]} to exit with 0, got {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
