"""The compiled model alone: a process with nothing but the SavedModel, called in a loop; no queue, no wire.

As a program it reads one JSON order a line and answers one line; idle in between, it costs the others nothing.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.cases import make_case


class Alone:
    """Handle of the process that holds one model. A context manager."""

    def __init__(self, model: str, version: Path, threads: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.alone", model, str(version), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self, rows: int = 1) -> np.ndarray:
        """What the model answers to a case of so many rows: the output that is compared."""
        return np.array(self._order(answer=rows)["answer"], np.float32)

    def measure(self, batch: int, seconds: float) -> Mapping[str, float]:
        """Call with so many equal rows for so long: answers a second, and p50 and p99 of a call in ms."""
        return self._order(batch=batch, seconds=seconds)

    def _order(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"expected the model alone to answer {order}, got the end of its process")
        return json.loads(line)

    def __enter__(self) -> "Alone":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


class Together:
    """So many models alone at once, a thread each: what the cores give with nothing around the model."""

    def __init__(self, model: str, version: Path, processes: int) -> None:
        self._stack = ExitStack()
        self._processes = [self._stack.enter_context(Alone(model, version, threads=1)) for _ in range(processes)]

    def measure(self, batch: int, seconds: float) -> Mapping[str, float]:
        """As of one: the sum of the rates, the median p50 and the worst p99."""
        with ThreadPoolExecutor(len(self._processes)) as pool:
            found = list(pool.map(lambda process: process.measure(batch, seconds), self._processes))
        p50, p99 = np.median([each["p50"] for each in found]), max(each["p99"] for each in found)
        return {"rate": sum(each["rate"] for each in found), "p50": float(p50), "p99": p99}

    def __enter__(self) -> "Together":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def main(model: str, version: Path, threads: int) -> None:
    from serving.savedmodel import load
    from serving.servables.inputs import read_rules  # the child alone needs TensorFlow

    rules = {name: rule for name, rule in read_rules(version).items() if rule.axis is not None}
    program = load(version, threads=threads).programs["serving_default"]

    def batch(rows: int) -> dict[str, np.ndarray]:
        case = make_case(model, rows)
        padded = {
            name: rules[name].padded(array, rules[name].bucket(array.shape[rules[name].axis or 0]))
            if name in rules
            else array
            for name, array in case.inputs.items()
        }
        if not program.is_ready(padded):
            program.compile(padded)
        return padded

    for line in sys.stdin:
        order = json.loads(line)
        if rows := order.get("answer"):
            print(json.dumps({"answer": program(batch(rows))[make_case(model).compared].tolist()}), flush=True)
            continue
        inputs = batch(order["batch"])
        program(inputs)
        calls: list[float] = []
        end = time.perf_counter() + order["seconds"]
        while (began := time.perf_counter()) < end:
            program(inputs)
            calls.append(time.perf_counter() - began)
        p50, p99 = np.percentile(calls, [50, 99]) * 1e3
        print(json.dumps({"rate": order["batch"] * len(calls) / sum(calls), "p50": p50, "p99": p99}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
