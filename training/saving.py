"""Writes a trained model as a version that a model server can load: whole, or not at all."""

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

SIGNATURE = "serving_default"
TOP = 5
STALE_SECONDS = 3600.0
_PARTIAL = ".export-"
_LARGE_BYTES = 1 << 16
_TOLERANCE = 1e-4
_PADDING_TOLERANCE = 1e-5


class ExportError(ValueError):
    """The model cannot be exported as asked; nothing was written that a server would load."""


@dataclass(frozen=True, kw_only=True)
class InputRule:
    """What one input may hold and how it may be padded; becomes an entry of inputs.json.

    Without `axis` the input has no variable length, and only the rules about values count. `side` and
    `value` say which padding leaves the answer unchanged; `buckets` are the lengths a server compiles for,
    the last one being the greatest length allowed.
    """

    axis: int | None = None
    side: Literal["left", "right"] | None = None
    value: float | None = None
    buckets: tuple[int, ...] = ()
    min_length: int = 1
    nan_allowed: bool = False
    min_observed: int | None = None

    def __post_init__(self) -> None:
        if self.axis is None:
            if self.side is not None or self.value is not None or self.buckets:
                raise ExportError("expected an axis beside side, value and buckets, got none")
            return
        if self.side is None or self.value is None or not self.buckets:
            raise ExportError(f"expected side, value and buckets for axis {self.axis}, got {self}")
        if list(self.buckets) != sorted(set(self.buckets)) or self.buckets[0] < self.min_length:
            raise ExportError(
                f"expected ascending buckets from min_length {self.min_length} on, got {list(self.buckets)}"
            )

    def as_json(self) -> dict[str, Any]:
        rule: dict[str, Any] = {}
        if self.axis is not None and self.value is not None:
            rule = {
                "axis": self.axis,
                "side": self.side,
                "value": "NaN" if math.isnan(self.value) else self.value,
                "buckets": list(self.buckets),
                "min_length": self.min_length,
            }
        rule["nan_allowed"] = self.nan_allowed
        if self.min_observed is not None:
            rule["min_observed"] = self.min_observed
        return rule


@dataclass(frozen=True, kw_only=True)
class Batching:
    """TensorFlow Serving's batching parameters for one model.

    Source: tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
    """

    max_batch_size: int = 64
    allowed_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    max_enqueued_batches: int = 64
    batch_timeout_micros: int = 0

    def __post_init__(self) -> None:
        sizes = list(self.allowed_batch_sizes)
        if not sizes or sizes != sorted(set(sizes)) or sizes[-1] != self.max_batch_size:
            raise ExportError(f"expected ascending batch sizes up to max_batch_size {self.max_batch_size}, got {sizes}")

    def as_pbtxt(self) -> str:
        lines = [
            f"max_batch_size {{ value: {self.max_batch_size} }}",
            f"batch_timeout_micros {{ value: {self.batch_timeout_micros} }}",
            f"max_enqueued_batches {{ value: {self.max_enqueued_batches} }}",
            *(f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes),
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A further way to call the same weights; see `export` for what the parts are."""

    core: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    warmup: Sequence[Mapping[str, np.ndarray]]


def export(
    models: Path,
    name: str,
    *,
    model: keras.Model,
    core: Callable[..., dict[str, tf.Tensor]],
    inputs: Mapping[str, tf.TensorSpec],
    labels: Sequence[str] | None = None,
    rules: Mapping[str, InputRule],
    batching: Batching | None = None,
    warmup: Sequence[Mapping[str, np.ndarray]],
    card: str,
    facts: Mapping[str, Any] | None = None,
    further: Mapping[str, Signature] | None = None,
) -> Path:
    """Export `model` as the next version of `models/name` and return the version's directory.

    `core` takes the inputs by name as tensors and returns the outputs by name; it is numeric, and is compiled
    with XLA inside the signature. With `labels` it must return `probabilities` [batch, labels], to which
    `top_classes` and `top_scores` are added outside the compiled part.

    `further` signatures, by name, answer from the same weights for other inputs. `rules` hold for inputs of that name
    in every signature.

    `facts` are written to assets.extra/training.json, for those who compare models: by agreement `architecture`,
    `parameters`, `seconds_per_epoch`, `epochs`, `seed` (see `FitReport.facts`), and what a family adds.

    The files are written beside the versions, loaded back, compared with `core` run eagerly on the `warmup`
    requests, and only then renamed; padding as `rules` allow must leave what `core` answers as it is. Raises
    ExportError where that fails; a killed export leaves a directory whose name is no version, swept by a later export.
    """
    signatures = {SIGNATURE: Signature(core=core, inputs=inputs, warmup=warmup)} | dict(further or {})
    _check(model, signatures, rules, labels)
    parent = models / name
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    partial = parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    partial.mkdir()
    try:
        with _generic_kernels(model):
            _write_saved_model(partial, model, signatures, labels)
        _write_extras(partial, name, rules, batching or Batching(), signatures, card, facts or {})
        loaded = tf.saved_model.load(str(partial))
        for key, signature in signatures.items():
            _verify(loaded.signatures[key], signature, rules)
        _sync(partial)
        return _publish(partial, parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check(
    model: keras.Model,
    signatures: Mapping[str, Signature],
    rules: Mapping[str, InputRule],
    labels: Sequence[str] | None,
) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(f"expected KERAS_BACKEND=tensorflow for an export, got {keras.backend.backend()}")
    halves = sorted({v.path for v in model.variables if v.dtype in ("float16", "bfloat16")})
    if halves or model.compute_dtype != "float32":
        raise ExportError(f"expected a float32 model; rebuild it so. Received: {model.compute_dtype} {halves[:3]}")
    for signature in signatures.values():
        _check_requests(signature, rules)
    known = {name for signature in signatures.values() for name in signature.inputs}
    for rule_name in rules:
        if rule_name not in known:
            raise ExportError(f"expected rules for inputs among {sorted(known)}, got one for {rule_name!r}")
    if labels is not None and (
        not labels or len(set(labels)) != len(labels) or any(not x or x.splitlines() != [x] for x in labels)
    ):
        raise ExportError("expected distinct labels of one line each. Received: " + repr(list(labels)[:10]))


def _check_requests(signature: Signature, rules: Mapping[str, InputRule]) -> None:
    if not signature.warmup:
        raise ExportError("expected at least one warm-up request, got none")
    for request in signature.warmup:
        if set(request) != set(signature.inputs):
            raise ExportError(f"expected warm-up inputs {sorted(signature.inputs)}. Received: {sorted(request)}")
    for name, spec in signature.inputs.items():
        rule = rules.get(name)
        if rule is not None and rule.axis is not None and spec.shape[rule.axis] is not None:
            raise ExportError(f"expected a variable axis {rule.axis} of {name!r}, got {spec.shape}")


@contextlib.contextmanager
def _generic_kernels(model: keras.Model) -> Iterator[None]:
    """Trace recurrent layers without cuDNN, so that a graph exported beside a GPU also runs without one."""
    recurrent = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in recurrent]
    for layer in recurrent:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, choice in zip(recurrent, before, strict=True):
            layer.use_cudnn = choice


class _LabelsFile(tf.lookup.TextFileInitializer):
    """Labels by line number, in a table that is named for them: by default it is named for the file's path.

    The name stays in the graph. It must differ where the labels do, as tables of one name in one process are one.
    """

    def __init__(self, path: Path) -> None:
        lines = tf.lookup.TextFileIndex
        super().__init__(str(path), tf.int64, lines.LINE_NUMBER, tf.string, lines.WHOLE_LINE)
        self._table = f"labels_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"

    @property
    def _shared_name(self) -> str:
        return self._table


def _write_saved_model(
    target: Path, model: keras.Model, signatures: Mapping[str, Signature], labels: Sequence[str] | None
) -> None:
    module = tf.Module()
    # Keras 3 variables are no tf.Variables: tracking the values keeps them in the checkpoint.
    module.weights = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory() as scratch:
        look_up = None
        if labels is not None:
            vocabulary = Path(scratch) / "labels.txt"
            vocabulary.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
            module.labels = look_up = tf.lookup.StaticHashTable(_LabelsFile(vocabulary), default_value="")
        served = {}
        for key, signature in signatures.items():
            named = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in signature.inputs.items()}
            served[key] = _serving(signature.core, look_up, labels).get_concrete_function(**named)
        tf.saved_model.save(module, str(target), signatures=served)


def _serving(core: Callable[..., dict[str, tf.Tensor]], look_up: Any, labels: Sequence[str] | None) -> Any:
    """What a signature does: the compiled core and, where there are labels, the best of them."""
    compiled = tf.function(core, jit_compile=True, autograph=False)

    def serve(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = dict(compiled(**tensors))
        if look_up is not None and labels is not None and "probabilities" in outputs:
            probabilities = outputs["probabilities"]
            if probabilities.shape[-1] != len(labels):
                raise ExportError(f"expected probabilities of {len(labels)} labels, got shape {probabilities.shape}")
            scores, classes = tf.math.top_k(probabilities, min(TOP, len(labels)))
            outputs["top_scores"] = scores
            outputs["top_classes"] = look_up.lookup(tf.cast(classes, tf.int64))
        return outputs

    return tf.function(serve, autograph=False)


def _write_extras(
    target: Path,
    name: str,
    rules: Mapping[str, InputRule],
    batching: Batching,
    signatures: Mapping[str, Signature],
    card: str,
    facts: Mapping[str, Any],
) -> None:
    extra = target / "assets.extra"
    extra.mkdir()
    (extra / "inputs.json").write_text(
        json.dumps({key: rule.as_json() for key, rule in rules.items()}, indent=2) + "\n"
    )
    (extra / "model_card.md").write_text(card, encoding="utf-8")
    (extra / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    (target / "batching_params.pbtxt").write_text(batching.as_pbtxt())
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as records:
        for key, tensors in [(key, request) for key, made in signatures.items() for request in made.warmup]:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = key
            for input_name, array in tensors.items():
                request.inputs[input_name].CopyFrom(_recorded(array))
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            records.write(log.SerializeToString())


def _recorded(array: np.ndarray) -> TensorProto:
    """As a warm-up request carries it: of a large one only the first value, which stands for all others.

    What a warm-up computes does not matter, only its shapes; a clip would outweigh the network that classifies it.
    """
    if array.nbytes <= _LARGE_BYTES or array.dtype.kind not in "fiu":
        return tf.make_tensor_proto(array)
    return tf.make_tensor_proto(array.flat[0], dtype=array.dtype, shape=array.shape)


def _verify(served: Callable[..., dict[str, tf.Tensor]], signature: Signature, rules: Mapping[str, InputRule]) -> None:
    for request in signature.warmup:
        tensors = {key: tf.constant(array) for key, array in request.items()}
        answer, expected = served(**tensors), signature.core(**tensors)
        for key, tensor in expected.items():
            _same(answer[key].numpy(), tensor.numpy(), _TOLERANCE, f"output {key!r} of the loaded export")
        if request is signature.warmup[0]:
            unpadded = expected
    # By `core`, with which the export agrees: the export would have to be compiled for the padded shapes as well.
    padded = signature.core(
        **{key: tf.constant(_pad(array, rules.get(key))) for key, array in signature.warmup[0].items()}
    )
    for key, tensor in unpadded.items():
        if tensor.dtype.is_floating:
            _same(padded[key].numpy(), tensor.numpy(), _PADDING_TOLERANCE, f"output {key!r} after padding")


def _pad(array: np.ndarray, rule: InputRule | None) -> np.ndarray:
    if rule is None or rule.axis is None or rule.value is None:
        return array
    steps = min(3, rule.buckets[-1] - array.shape[rule.axis])
    width = [(0, 0)] * array.ndim
    width[rule.axis] = (steps, 0) if rule.side == "left" else (0, steps)
    return np.pad(array, width, constant_values=rule.value)


def _same(received: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    if received.shape != expected.shape:
        raise ExportError(f"expected shape {expected.shape} for {what}, got {received.shape}")
    if not np.isfinite(expected).all():
        raise ExportError(f"expected finite numbers for {what}, got NaN or infinity")
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    worst = float(np.abs(received - expected).max(initial=0.0)) / scale
    if not worst <= tolerance:
        raise ExportError(f"expected differences below {tolerance:g} for {what}, got {worst:g}")


def _sync(folder: Path) -> None:
    """Flush every file to the disk, so that a rename never outlives what it names after a power cut."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(partial: Path, parent: Path) -> Path:
    """Rename to the next version number; where another export was quicker, to the one after."""
    while True:
        taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
        target = parent / str(max(taken, default=0) + 1)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target


def _sweep(parent: Path) -> None:
    """Remove what killed exports left; young directories may belong to an export that still runs."""
    for path in parent.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
