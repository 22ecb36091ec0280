"""Tiny SavedModels for tests, each with one property that a server must cope with."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

STROKE_RULE = {"axis": 1, "side": "right", "value": 0.0, "buckets": [4, 8, 16], "min_length": 1, "nan_allowed": False}


class Affine(tf.Module):
    """y = x · w + b over rows of three, with the version as b: tells which version answered."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.weights = tf.Variable([[1.0], [2.0], [3.0]])
        self.bias = tf.Variable(bias)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.squeeze(tf.matmul(x, self.weights), -1) + self.bias}


class Labelled(tf.Module):
    """A recurrent sum over padded time, then a look-up of strings: half for XLA, half for the host."""

    def __init__(self) -> None:
        super().__init__()
        initializer = tf.lookup.KeyValueTensorInitializer(tf.range(3), tf.constant(["low", "mid", "high"]))
        self.table = tf.lookup.StaticHashTable(initializer, default_value="?")
        self.scale = tf.Variable([1.0, -2.0, 0.5])

    @tf.function(input_signature=[tf.TensorSpec([None, None, 2], tf.float32, name="strokes")])
    def serve(self, strokes):
        steps = tf.transpose(strokes, [1, 0, 2])
        total = tf.scan(lambda state, step: 0.9 * state + step, steps, tf.zeros_like(steps[0]))
        mask = tf.cast(tf.reduce_any(steps != 0.0, axis=-1, keepdims=True), tf.float32)
        summed = tf.reduce_sum(total * mask, axis=[0, 2])
        scores = tf.nn.softmax(summed[:, None] * self.scale)
        return {"scores": scores, "label": self.table.lookup(tf.argmax(scores, axis=-1, output_type=tf.int32))}


class Normalised(tf.Module):
    """Divides a vector by its sum: axis 0 is free, yet no batch, so merging requests would be wrong."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x / tf.reduce_sum(x)}


class Scalar(tf.Module):
    """No batch axis anywhere."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x + 1.0}


class Parsing(tf.Module):
    """tf.Example in, numbers out: the host's part comes first."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        features = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([3], tf.float32)})
        return {"y": tf.reduce_sum(tf.exp(features["x"]), axis=1), "text": tf.strings.as_string(features["x"])}


class Picky(tf.Module):
    """Fails on negative rows, as a model with an assertion does."""

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def serve(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x >= 0.0), ["x must not be negative"])]):
            return {"y": tf.sqrt(x)}


def save(
    module: tf.Module,
    path: Path,
    *,
    rules: dict | None = None,
    sizes: tuple[int, ...] = (),
    warmup: list[dict[str, np.ndarray]] | None = None,
) -> Path:
    """Writes a version directory with the server's own files beside the graph where they are asked for."""
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    extra = path / "assets.extra"
    if rules is not None:
        extra.mkdir(exist_ok=True)
        (extra / "inputs.json").write_text(json.dumps(rules))
    if sizes:
        lines = [f"max_batch_size {{ value: {sizes[-1]} }}", *(f"allowed_batch_sizes: {size}" for size in sizes)]
        (path / "batching_params.pbtxt").write_text("\n".join(lines))
    if warmup is not None:
        extra.mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
            for inputs in warmup:
                log = PredictionLog()
                for name, array in inputs.items():
                    log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
                writer.write(log.SerializeToString())
    return path


def example(*values: float) -> bytes:
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
