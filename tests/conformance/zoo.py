"""Tiny SavedModels for the conformance tests, each with one property that a server must cope with.

`build` writes them all; `CONFIG` lists them as a TF Serving model configuration file does. Their arithmetic is small
enough to be done in the head: affine is x · (1, 2, 3) + version, half_plus_two is x / 2 + 2, half_plus_three
likewise.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from .zoo_tf1 import save_half_plus_two, save_legacy, save_sparse

# numpy's name for each type that a TensorProto carries and a graph can echo.
ECHOED = (
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "bool",
    "complex64",
    "complex128",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "string",
)
AFFINE_VERSIONS = (1, 2)
WORDS = ("zero", "one", "two")


class Affine(tf.Module):
    """y = x · (1, 2, 3) + bias, the bias being the version: tells which version answered."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.weights = tf.Variable([[1.0], [2.0], [3.0]])
        self.bias = tf.Variable(bias)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.squeeze(tf.matmul(x, self.weights), -1) + self.bias}


class Several(tf.Module):
    """Three signatures: the default, one with two inputs and two outputs, one without inputs to batch."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(self, x):
        return {"y": 2.0 * x}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), tf.TensorSpec([None, 2], tf.float32, name="b")]
    )
    def arithmetic(self, a, b):
        return {"sum": a + b, "difference": a - b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="n")])
    def square(self, n):
        return {"n_squared": n * n}


class Text(tf.Module):
    """Strings in, strings and bytes out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        return {
            "upper": tf.strings.upper(text),
            "length": tf.strings.length(text),
            "echo_bytes": text,
        }


class StaticTable(tf.Module):
    """Looks words up in a table that an asset file fills."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        self.asset = tf.saved_model.Asset(str(vocabulary))
        initializer = tf.lookup.TextFileInitializer(
            self.asset,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(initializer, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def serve(self, word):
        return {"index": self.table.lookup(word)}


class MutableTable(tf.Module):
    """Remembers what it was told: `insert` returns the table's size, the default looks up."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="key")])
    def lookup(self, key):
        return {"value": self.table.lookup(key)}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="key"), tf.TensorSpec([None], tf.int64, name="value")]
    )
    def insert(self, key, value):
        with tf.control_dependencies([self.table.insert(key, value)]):
            return {"size": tf.identity(self.table.size())}


class Counter(tf.Module):
    """Adds what comes to a variable, and returns it: every call counts once, and no padding counts."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"total": tf.fill(tf.shape(x), self.total.assign_add(tf.reduce_sum(x)))}


class Scalar(tf.Module):
    """No axis at all."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x + 1.0}


class Vector(tf.Module):
    """One fixed axis, and no batch: the elements' norm."""

    @tf.function(input_signature=[tf.TensorSpec([3], tf.float32, name="x")])
    def serve(self, x):
        return {"norm": tf.norm(x), "x": x}


class Unranked(tf.Module):
    """Takes a tensor of any rank."""

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def serve(self, x):
        return {"y": x + 1.0, "rank": tf.rank(x)}


class Summary(tf.Module):
    """A batch comes in, and beside a row for each goes out one number for all."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serve(self, x):
        return {"row_sums": tf.reduce_sum(x, axis=1), "total": tf.reduce_sum(x)}


class Ragged(tf.Module):
    """Row sums of ragged rows, given as their values and splits; and given as one composite tensor."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="values"),
            tf.TensorSpec([None], tf.int64, name="row_splits"),
        ]
    )
    def serve(self, values, row_splits):
        return {"sums": tf.reduce_sum(tf.RaggedTensor.from_row_splits(values, row_splits), axis=1)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
    def composite(self, rows):
        return {"sums": tf.reduce_sum(rows, axis=1)}


class Picky(tf.Module):
    """Fails on negative rows, as a model with an assertion does."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x >= 0.0), ["x must not be negative"])]):
            return {"root": tf.sqrt(x)}


class Slow(tf.Module):
    """Computes for as many seconds as it is told."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="seconds")])
    def serve(self, seconds):
        start = tf.timestamp()
        wanted = tf.cast(tf.reduce_max(seconds), tf.float64)
        end = tf.while_loop(lambda now: now - start < wanted, lambda now: (tf.timestamp(),), [start])[0]
        return {"waited": tf.zeros_like(seconds) + tf.cast(end - start, tf.float32)}


def build(base: Path) -> Path:
    """Writes every model below `base`, as <name>/<version>, and a broken one."""
    base.mkdir(parents=True, exist_ok=True)
    for version in AFFINE_VERSIONS:
        _save(base / "affine" / str(version), Affine(float(version)))
    several = Several()
    _save(
        base / "several" / "1",
        several,
        serving_default=several.double,
        arithmetic=several.arithmetic,
        square=several.square,
    )
    _save(base / "text" / "1", Text())
    vocabulary = base / ".words.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    _save(base / "static_table" / "1", StaticTable(vocabulary))
    vocabulary.unlink()  # only the copy among the model's own assets may be read
    table = MutableTable()
    _save(base / "mutable_table" / "1", table, serving_default=table.lookup, insert=table.insert)
    _save(base / "counter" / "1", Counter())
    _save(base / "scalar" / "1", Scalar())
    _save(base / "vector" / "1", Vector())
    _save(base / "unranked" / "1", Unranked())
    _save(base / "summary" / "1", Summary())
    ragged = Ragged()
    _save(base / "ragged" / "1", ragged, serving_default=ragged.serve, composite=ragged.composite)
    _save(base / "picky" / "1", Picky())
    _save(base / "slow" / "1", Slow())
    _save(base / "echo" / "1", tf.Module(), **_echoes())
    _save_keras(base / "keras" / "1")
    save_half_plus_two(base / "half_plus_two" / "123")
    save_legacy(base / "legacy" / "1")
    save_sparse(base / "sparse" / "1")
    broken = base / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"this is no SavedModel")
    return base


def config(base: Path, names: Mapping[str, str] | None = None) -> str:
    """A model_config_file for every model below `base`: all versions of each.

    names: more lines inside a model's entry, by its name.
    """
    more = names or {}
    entries = [
        f"  config {{\n    name: '{folder.name}'\n    base_path: '{folder}'\n    model_platform: 'tensorflow'\n"
        f"    model_version_policy {{ all {{}} }}\n{more.get(folder.name, '')}  }}\n"
        for folder in sorted(base.iterdir())
    ]
    return "model_config_list {\n" + "".join(entries) + "}\n"


def _save(path: Path, module: tf.Module, **signatures) -> None:
    tf.saved_model.save(module, str(path), signatures=signatures or {"serving_default": module.serve})


def _echoes():
    """One signature for each type, named for it."""

    def echo(dtype):
        function = tf.function(lambda x: {"y": tf.identity(x)})
        return function.get_concrete_function(tf.TensorSpec(None, tf.as_dtype(dtype), name="x"))

    return {dtype: echo(dtype) for dtype in ECHOED}


def _save_keras(path: Path) -> None:
    """Two inputs joined and weighed by ones: y = sum(left) + sum(right)."""
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    total = keras.layers.Dense(1, kernel_initializer="ones", name="total")(joined)
    model = keras.Model({"left": left, "right": right}, {"total": total})
    model({"left": np.ones((1, 2)), "right": np.ones((1, 1))})
    model.export(str(path), verbose=False)
