"""Open-loop load over gRPC: several h2loads, each of which sends at moments drawn beforehand.

The sum of independent Poisson processes is one, so each h2load, a connection to one worker, has its own share.
"""

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.load import Figures, LoadError, Target, check_grpc, framed, h2load

CONNECTIONS = 8
_AT_ONCE = 100
"""Requests that one connection may have open: with fewer, late answers would hold the next requests back."""


def poisson_load(target: Target, rate: float, seconds: float) -> Figures:
    """`rate` requests a second on average; gives the rate of the answers, and p50 and p99 in ms."""
    rng = np.random.default_rng()
    size = len(framed(target.ask()))
    with ExitStack() as stack:
        started = []
        for _ in range(CONNECTIONS):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            command, log = h2load(target, folder)
            url = command.pop()
            script = Path(folder, "moments")
            count = rng.poisson(rate / CONNECTIONS * seconds)
            moments = np.sort(rng.uniform(0, 1e3 * seconds, count))
            script.write_text("".join(f"{moment:.3f}\t{url}\n" for moment in moments))
            command += ["--timing-script-file", str(script), "--clients", "1", "--max-concurrent-streams"]
            command += [str(_AT_ONCE), "--requests", str(count)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            started.append((stack.enter_context(process), log))
        ended = [(process, log, process.communicate(timeout=seconds + 60)[0]) for process, log in started]
        durations: list[int] = []
        for process, log, output in ended:
            lines = log.read_text().splitlines()
            if process.returncode != 0:
                raise LoadError(f"expected h2load to exit with 0, got {process.returncode}: {output}")
            check_grpc(output, size, len(lines))
            durations += [int(line.split()[2]) for line in lines]
    p50, p99 = np.percentile(durations, [50, 99]) / 1e3
    return {"rate": len(durations) / seconds, "p50": float(p50), "p99": float(p99)}
