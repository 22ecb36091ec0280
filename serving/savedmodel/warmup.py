"""Warm-up records, `assets.extra/tf_serving_warmup_requests`: a TFRecord file of PredictionLog messages."""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.errors import FailedPrecondition
from serving.signature import DEFAULT_SIGNATURE

_MOST_RECORDS = 1000  # TF Serving's own limit
_HEADER = struct.Struct("<Q")


def read_warmup(version: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The Predict requests of a version directory, as (signature name, inputs); empty where it has none."""
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    if not file.is_file():
        return []
    try:
        return list(_predictions(file))
    except (DecodeError, ValueError, TypeError) as error:
        raise FailedPrecondition(f"the warm-up requests cannot be read: {error}") from error


def _predictions(file: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for record in islice(_records(file.read_bytes()), _MOST_RECORDS):
        log = PredictionLog.FromString(record)
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            yield name, {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}


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
