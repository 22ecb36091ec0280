"""How long one CPU takes to answer one request: run as a process of its own, `python -m training.latency`."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WARM_UP = 10
SECONDS = 2.0  # of measuring
MOST = 500  # requests


def latency(version: Path, request: Mapping[str, np.ndarray]) -> float:
    """Median milliseconds that the exported signature takes for `request`, on one core with one thread.

    `request` has every input by name, with a batch of one. In another process, as threads cannot be taken from a
    TensorFlow that has begun; XLA compiles what the export says. Loading and the first calls do not count.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "request.npz"
        np.savez(file, **request)
        done = subprocess.run(
            [sys.executable, "-m", "training.latency", str(version), str(file)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
        )
    return float(done.stdout)


def _measure(version: Path, file: Path) -> float:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(file) as arrays:
        request = {name: tf.constant(arrays[name]) for name in arrays.files}
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    taken: list[float] = []
    for count in range(WARM_UP + MOST):
        began = time.perf_counter()
        for answer in served(**request).values():
            answer.numpy()
        if count >= WARM_UP:
            taken.append(time.perf_counter() - began)
        if sum(taken) > SECONDS:
            break
    return float(np.median(taken)) * 1000


if __name__ == "__main__":
    print(_measure(Path(sys.argv[1]), Path(sys.argv[2])))
