"""The compiled model alone: a process with nothing but the SavedModel, called in a loop; no queue, no wire.

As a program it reads one JSON order a line and answers one line; idle in between, it costs the others nothing.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.cases import COMPARED, make_case


class Alone:
    """Handle of the process that holds one model. A context manager."""

    def __init__(self, model: str, version: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.alone", model, str(version)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self) -> np.ndarray:
        """What the model answers to its case: the output that is compared, float32, without the batch."""
        return np.array(self._order(answer=True)["answer"], np.float32)

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


def main(model: str, version: Path) -> None:
    from serving.savedmodel import load
    from serving.servables.inputs import read_rules  # the child alone needs TensorFlow

    rules = read_rules(version)
    inputs = {
        name: rules[name].padded(array, rules[name].bucket(array.shape[rules[name].axis or 0]))
        if name in rules and rules[name].axis is not None
        else array
        for name, array in make_case(model).inputs.items()
    }
    program = load(version).programs["serving_default"]
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("answer"):
            print(json.dumps({"answer": program(inputs)[COMPARED[model]][0].tolist()}), flush=True)
            continue
        batch = {name: np.repeat(array, order["batch"], axis=0) for name, array in inputs.items()}
        if not program.is_ready(batch):
            program.compile(batch)
        program(batch)
        calls: list[float] = []
        end = time.perf_counter() + order["seconds"]
        while (began := time.perf_counter()) < end:
            program(batch)
            calls.append(time.perf_counter() - began)
        p50, p99 = np.percentile(calls, [50, 99]) * 1e3
        print(json.dumps({"rate": order["batch"] * len(calls) / sum(calls), "p50": p50, "p99": p99}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
