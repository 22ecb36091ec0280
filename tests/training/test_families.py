"""Every family keeps the same promises: a brief fit on generated data, and a version that any server can load."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from training import fitting

FILES = (
    "saved_model.pb",
    "variables/variables.index",
    "assets.extra/inputs.json",
    "assets.extra/model_card.md",
    "assets.extra/training.json",
    "assets.extra/tf_serving_warmup_requests",
    "batching_params.pbtxt",
)
FURTHER = {"holidays"}  # inputs of further signatures


@dataclass(frozen=True, kw_only=True)
class Family:
    """How to make one family's smallest version, and what its signature must be.

    `make` fits briefly, exports below the given folder, and returns the model and the version's directory.
    `keras` answers the first float output from the Keras model, for the same inputs as the signature.
    """

    name: str
    make: Callable[[Path], tuple[keras.Model, Path]]
    inputs: dict[str, tuple[tf.DType, list[int | None]]]
    outputs: dict[str, tuple[tf.DType, list[int | None]]]
    keras: Callable[[keras.Model, dict[str, np.ndarray]], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Made:
    family: Family
    model: keras.Model
    version: Path
    served: Any

    def answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answer = self.served(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in answer.items()}

    def warmup(self) -> list[dict[str, np.ndarray]]:
        records = tf.data.TFRecordDataset(str(self.version / "assets.extra/tf_serving_warmup_requests"))
        logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
        requests = [log.predict_log.request for log in logs]
        assert {request.model_spec.name for request in requests} == {self.family.name}
        default = [request for request in requests if request.model_spec.signature_name == "serving_default"]
        return [{name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()} for request in default]


def _options(folder: Path) -> fitting.FitOptions:
    return fitting.FitOptions(run=folder / "run", epochs=1, batch_size=16)


def _make_forecaster(folder: Path) -> tuple[keras.Model, Path]:
    from training.forecaster import model
    from training.forecaster.export import export
    from training.forecaster.fit import fit
    from training.forecaster.generated import generate

    series, options = generate(6, days=(150, 200)), _options(folder)  # so many share a line in the card
    fitted, report = fit(series, {}, options, config=model.ForecasterConfig(units=8), steps=2)
    return fitted, export(folder / "models", fitted, series, {}, report=report, options=options)


def _forecast(model: keras.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    from training.forecaster.model import answer

    outputs = keras.ops.convert_to_numpy(answer(model, **inputs))
    return {"mean": outputs[..., 0], "quantiles": outputs[..., 1:10]}


def _make_sketchrnn(folder: Path) -> tuple[keras.Model, Path]:
    from training.sketchrnn import generate, train
    from training.sketchrnn.export import export

    sketches, options = generate.sketches(train=8, valid=2, test=2), _options(folder)
    fitted, report = train.fit(sketches, options)
    return fitted, export(folder / "models", fitted, sketches, report=report, options=options)


def _classify_sketch(model: keras.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    logits = model(inputs["strokes"], training=False)
    return {"probabilities": keras.ops.convert_to_numpy(keras.ops.softmax(logits))}


def _make_video(folder: Path) -> tuple[keras.Model, Path]:
    from training.video import data, train
    from training.video.export import export

    videos = data.load(None, cache=folder / "clips", workers=1, sizes={"train": 10, "valid": 2, "test": 2})
    options = _options(folder)
    fitted, report = train.fit(videos, options, compiled=False)
    return fitted, export(folder / "models", fitted, videos, report=report, options=options, source=None)


def _classify_video(model: keras.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    logits = model(inputs["frames"], training=False)
    return {"probabilities": keras.ops.convert_to_numpy(keras.ops.softmax(logits))}


FAMILIES = [
    Family(
        name="forecaster",
        make=_make_forecaster,
        inputs={"history": (tf.float32, [None, None]), "end_day": (tf.int32, [None])},
        outputs={"mean": (tf.float32, [None, 7]), "quantiles": (tf.float32, [None, 7, 9])},
        keras=_forecast,
    ),
    Family(
        name="sketchrnn",
        make=_make_sketchrnn,
        inputs={"strokes": (tf.float32, [None, None, 3])},
        outputs={
            "probabilities": (tf.float32, [None, 11]),
            "top_scores": (tf.float32, [None, 5]),
            "top_classes": (tf.string, [None, 5]),
        },
        keras=_classify_sketch,
    ),
    Family(
        name="video",
        make=_make_video,
        inputs={"frames": (tf.uint8, [None, 16, 112, 112, 3])},
        outputs={
            "probabilities": (tf.float32, [None, 10]),
            "top_scores": (tf.float32, [None, 5]),
            "top_classes": (tf.string, [None, 5]),
        },
        keras=_classify_video,
    ),
]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    family: Family = request.param
    model, version = family.make(tmp_path_factory.mktemp(family.name))
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    return Made(family=family, model=model, version=version, served=served)


def test_the_version_is_whole(made: Made) -> None:
    assert made.version.parts[-2:] == (made.family.name, "1")
    assert [name for name in FILES if not (made.version / name).is_file()] == []
    assert [path.name for path in made.version.parent.iterdir()] == ["1"]


def test_it_says_what_was_trained(made: Made) -> None:
    facts = json.loads((made.version / "assets.extra/training.json").read_text())
    assert facts["architecture"]
    assert facts["parameters"] == made.model.count_params()
    assert facts["epochs"] == 1
    assert facts["seconds_per_epoch"] > 0


def test_the_signature_is_the_contract(made: Made) -> None:
    _, inputs = made.served.structured_input_signature
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in inputs.items()} == made.family.inputs
    outputs = made.served.structured_outputs
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in outputs.items()} == made.family.outputs


def test_the_numbers_are_the_keras_models(made: Made) -> None:
    for inputs in made.warmup():
        answer = made.answer(inputs)
        for name, expected in made.family.keras(made.model, inputs).items():
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(answer[name], expected, rtol=1e-4, atol=1e-5 * scale)


def test_the_numeric_part_is_compiled(made: Made) -> None:
    functions = made.served.graph.as_graph_def().library.function
    assert any(function.attr["_XlaMustCompile"].b for function in functions)
    ops = {node.op for function in functions for node in function.node_def}
    assert not [op for op in ops if op.startswith("Cudnn")]


def test_an_answer_does_not_depend_on_its_batch(made: Made) -> None:
    inputs = max(made.warmup(), key=lambda request: len(next(iter(request.values()))))
    together = made.answer(inputs)
    for row in range(len(next(iter(inputs.values())))):
        alone = made.answer({name: array[row : row + 1] for name, array in inputs.items()})
        _close(alone, {name: array[row : row + 1] for name, array in together.items()})


def test_padding_changes_nothing(made: Made) -> None:
    rules = json.loads((made.version / "assets.extra/inputs.json").read_text())
    inputs = made.warmup()[0]
    assert set(made.family.inputs) & set(rules) == set(rules) - FURTHER
    rules = {name: rule for name, rule in rules.items() if name in inputs}
    expected = made.answer(inputs)
    for name, rule in rules.items():
        if "axis" not in rule:
            continue
        length = inputs[name].shape[rule["axis"]]
        assert rule["min_length"] <= length <= rule["buckets"][-1]
        for longer in sorted({length + 1, *rule["buckets"]}):
            if longer > length:
                _close(made.answer(inputs | {name: _pad(inputs[name], rule, longer)}), expected)


def _pad(array: np.ndarray, rule: dict[str, Any], length: int) -> np.ndarray:
    steps = length - array.shape[rule["axis"]]
    width = [(0, 0)] * array.ndim
    width[rule["axis"]] = (steps, 0) if rule["side"] == "left" else (0, steps)
    return np.pad(array, width, constant_values=float(rule["value"]))


def _close(received: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, array in expected.items():
        if array.dtype.kind == "f":
            scale = max(1.0, float(np.abs(array).max()))
            np.testing.assert_allclose(received[name], array, rtol=0, atol=1e-5 * scale, err_msg=name)
