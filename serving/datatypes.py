"""The names one data type goes by: numpy's, TensorFlow's and the Open Inference Protocol's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from serving.errors import InvalidInput

MAX_RANK = 32


@dataclass(frozen=True, slots=True)
class DataType:
    """One element type.

    name: as in TensorSpec.dtype. dtype: numpy's; strings are object arrays of bytes.
    tf_name, tf_number: tensorflow.DataType, as in types.proto.
    oip_name: as in the Open Inference Protocol; None where the protocol has no such type.
    """

    name: str
    dtype: np.dtype
    tf_name: str
    tf_number: int
    oip_name: str | None


DATA_TYPES = (
    DataType("float32", np.dtype(np.float32), "DT_FLOAT", 1, "FP32"),
    DataType("float64", np.dtype(np.float64), "DT_DOUBLE", 2, "FP64"),
    DataType("int32", np.dtype(np.int32), "DT_INT32", 3, "INT32"),
    DataType("uint8", np.dtype(np.uint8), "DT_UINT8", 4, "UINT8"),
    DataType("int16", np.dtype(np.int16), "DT_INT16", 5, "INT16"),
    DataType("int8", np.dtype(np.int8), "DT_INT8", 6, "INT8"),
    DataType("string", np.dtype(object), "DT_STRING", 7, "BYTES"),
    DataType("complex64", np.dtype(np.complex64), "DT_COMPLEX64", 8, None),
    DataType("int64", np.dtype(np.int64), "DT_INT64", 9, "INT64"),
    DataType("bool", np.dtype(np.bool_), "DT_BOOL", 10, "BOOL"),
    DataType("bfloat16", np.dtype(ml_dtypes.bfloat16), "DT_BFLOAT16", 14, "BF16"),
    DataType("uint16", np.dtype(np.uint16), "DT_UINT16", 17, "UINT16"),
    DataType("complex128", np.dtype(np.complex128), "DT_COMPLEX128", 18, None),
    DataType("float16", np.dtype(np.float16), "DT_HALF", 19, "FP16"),
    DataType("uint32", np.dtype(np.uint32), "DT_UINT32", 22, "UINT32"),
    DataType("uint64", np.dtype(np.uint64), "DT_UINT64", 23, "UINT64"),
)

BY_NAME = {kind.name: kind for kind in DATA_TYPES}
BY_TF_NUMBER = {kind.tf_number: kind for kind in DATA_TYPES}
BY_OIP_NAME = {kind.oip_name: kind for kind in DATA_TYPES if kind.oip_name is not None}
_MAX_ELEMENTS = 2**58  # times 16 bytes is what numpy can address
BY_DTYPE = {kind.dtype: kind for kind in DATA_TYPES}


def data_type_of(name: str, array: np.ndarray) -> DataType:
    """The type of an output; raises InvalidInput for those of TensorFlow's that no protocol here carries."""
    kind = BY_DTYPE.get(array.dtype)
    if kind is None:
        raise InvalidInput(f"expected to send outputs of {', '.join(BY_NAME)}; got {name!r} of {array.dtype}")
    return kind


def is_finite(array: np.ndarray) -> bool:
    """Whether no value is NaN or infinite."""
    # The sum of their squares takes a fraction of the time, and is finite only if each of them is.
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4 and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def element_count(name: str, shape: Sequence[int]) -> int:
    """How many elements a shape off the wire asks for; nothing is allocated.

    Raises InvalidInput for negative dimensions, for sizes that no memory holds (beside a zero, too: numpy overflows
    there all the same), and for more dimensions than any model has: multiplying a million of them would itself be
    an attack.
    """
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"input {name!r}: expected at most {MAX_RANK} dimensions, got {len(shape)}")
    if not shape:
        return 1
    # Each for itself first: a number of thousands of digits can be neither multiplied nor shown.
    if max(shape) > _MAX_ELEMENTS or min(shape) < -_MAX_ELEMENTS:
        raise InvalidInput(f"input {name!r}: expected dimensions of at most {_MAX_ELEMENTS}, got a larger one")
    if min(shape) < 0:
        raise InvalidInput(f"input {name!r}: expected dimensions of 0 or more, got shape {list(shape)}")
    count = math.prod(shape)
    if (count or math.prod(max(size, 1) for size in shape)) > _MAX_ELEMENTS:
        raise InvalidInput(f"input {name!r}: expected a shape of at most {_MAX_ELEMENTS} elements, got {list(shape)}")
    return count
