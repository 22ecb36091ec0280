"""Warm-up records, `assets.extra/tf_serving_warmup_requests`: a TFRecord file of PredictionLog messages."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.errors import FailedPrecondition, ServingError
from serving.signature import DEFAULT_SIGNATURE
from serving.tfserving.examples import EXAMPLES_INPUT, serialized_examples

_MOST_RECORDS = 1000  # TF Serving's own limit
_HEADER = struct.Struct("<Q")
_METHODS = {"classify_log": "tensorflow/serving/classify", "regress_log": "tensorflow/serving/regress"}


@dataclass(frozen=True, slots=True)
class WarmupRequest:
    """What one record asks of one signature.

    method: the method name that the signature must have; empty for any.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    method: str = ""


def read_warmup(version: Path) -> list[WarmupRequest]:
    """The warm-up requests of a version directory, in order; empty where it has none.

    Raises FailedPrecondition for a file that TF Serving would not load a model with: broken, too long, or with
    records that it cannot replay.
    """
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    if not file.is_file():
        return []
    try:
        return list(_requests(file))
    except (DecodeError, ValueError, TypeError, ServingError) as error:
        raise FailedPrecondition(f"the warm-up requests cannot be read: {error}") from error


def _requests(file: Path) -> Iterator[WarmupRequest]:
    for number, record in enumerate(_records(file.read_bytes())):
        if number == _MOST_RECORDS:
            raise ValueError(f"Number of warmup records exceeds the maximum ({_MOST_RECORDS})")
        yield from _asked(PredictionLog.FromString(record))


def _asked(log: Any) -> Iterator[WarmupRequest]:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        yield WarmupRequest(_signature(request.model_spec), inputs)
    elif kind in _METHODS:
        request = getattr(log, kind).request
        inputs = {EXAMPLES_INPUT: serialized_examples(request.input)}
        yield WarmupRequest(_signature(request.model_spec), inputs, _METHODS[kind])
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        inputs = {EXAMPLES_INPUT: serialized_examples(request.input)}
        for task in request.tasks:
            yield WarmupRequest(_signature(task.model_spec), inputs, task.method_name)
    elif kind == "session_run_log":
        raise ValueError("Unsupported log_type for warmup: session_run_log")


def _signature(spec: Any) -> str:
    return spec.signature_name or DEFAULT_SIGNATURE


def _records(data: bytes) -> Iterator[bytes]:
    """TFRecord framing: length, its checksum, the record, its checksum. A reader from tf.data would start
    TensorFlow's eager runtime, whose memory nothing gives back.
    """
    start = 0
    while start < len(data):
        if len(data) < start + _HEADER.size:
            raise ValueError("the file ends within a record's header")
        (length,) = _HEADER.unpack_from(data, start)
        start += _HEADER.size + 4
        if len(data) < start + length + 4:
            raise ValueError("the file ends within a record")
        yield data[start : start + length]
        start += length + 4
