"""Run as `KERAS_BACKEND=… python any_backend.py WEIGHTS ANSWERS`: what a model of each family answers, on this backend.

The weights are those in the file, or new ones, which are put there.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from training.forecaster import architectures as forecasters
from training.forecaster.model import ForecasterConfig, answer
from training.sketchrnn import architectures as sketchers
from training.video import architectures as watchers

CLASSES = 3


def models() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    made = {name: forecasters.build(name, ForecasterConfig(architecture=name, units=8)) for name in ("weekly", "lstm")}
    return made | {"fusion": sketchers.build("fusion", CLASSES), "two_stream": watchers.build("two_stream", CLASSES)}


def inputs(name: str) -> tuple[np.ndarray, ...]:
    """What everybody asks a model of this name."""
    rng = np.random.default_rng(0)
    if name == "fusion":
        return (np.concatenate([rng.normal(0, 20, (2, 40, 2)), np.ones((2, 40, 1))], -1).astype("float32"),)
    if name == "two_stream":
        return (rng.integers(0, 255, (1, 16, 112, 112, 3), dtype=np.uint8),)
    return 100 + np.cumsum(rng.normal(0, 1, (2, 200)), 1).astype("float32"), np.array([19000, -1], "int32")


def main(weights: Path, answers: Path) -> None:
    known = dict(np.load(weights)) if weights.exists() else {}
    told = {}
    for name, model in models().items():
        for number, variable in enumerate(model.variables):
            key = f"{name}/{number}"
            if weights.exists():
                variable.assign(known[key])
            else:
                known[key] = keras.ops.convert_to_numpy(variable)
        asked = inputs(name)
        answered = answer(model, *asked) if len(asked) > 1 else model(*asked, training=False)
        told[name] = keras.ops.convert_to_numpy(answered)
    np.savez(weights, **known)
    np.savez(answers, **told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
