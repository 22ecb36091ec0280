"""One fit on several devices or machines, through tf.distribute: every device takes an even share of each batch.

Which machines there are is in the variable TF_CONFIG, as TensorFlow's cluster resolver reads it; the same command runs
on each. All see the same data, run folder and seed, and end with the same weights; only the chief writes.
"""

import json
import os
import sys

import keras


def begin(name: str) -> None:
    """Spread what is built from here on: "none", "mirrored" (all GPUs of this machine) or "multi_worker" (TF_CONFIG).

    Call before TensorFlow computes anything. A second call for the same strategy changes nothing.

    Raises:
        ValueError: for a backend other than TensorFlow, or "multi_worker" without TF_CONFIG.
    """
    if name == "none":
        return
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Expected strategy none, or KERAS_BACKEND=tensorflow. Received: {name} with {keras.backend.backend()}"
        )
    if name == "multi_worker" and not _cluster():
        raise ValueError('Expected TF_CONFIG to name the machines, as {"cluster": …, "task": …}. Received: none')
    import tensorflow as tf

    kind = {"mirrored": tf.distribute.MirroredStrategy, "multi_worker": tf.distribute.MultiWorkerMirroredStrategy}[name]
    if not isinstance(tf.distribute.get_strategy(), kind):
        tf.distribute.experimental_set_strategy(kind())


def end() -> bool:
    """Whether work was spread; what is built from here on is on one device again, as an export must be."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.distribute.has_strategy():
        return False
    tensorflow.distribute.experimental_set_strategy(None)
    return True


def is_chief(name: str) -> bool:
    """Whether this process writes: the chief of several machines, or else the first worker; one alone always does."""
    if name != "multi_worker":
        return True
    task, jobs = _cluster()["task"], _cluster()["cluster"]
    return bool(task["type"] == "chief" or ("chief" not in jobs and (task["type"], task["index"]) == ("worker", 0)))


def _cluster() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(os.environ.get("TF_CONFIG", "{}"))
    return found
