"""The Open Inference Protocol's tensors to numpy and back: raw bytes, or values in typed fields.

FP16 and BF16 have no typed field and travel raw only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.datatypes import BY_OIP_NAME, DataType, data_type_of, element_count
from serving.errors import InvalidInput
from serving.oip.raw import from_raw, to_raw

_FIELD = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def decode_inputs(tensors: Sequence[Any], raw: Sequence[bytes | memoryview]) -> dict[str, np.ndarray]:
    """The arrays of a ModelInferRequest; raw ones are read-only. Raises InvalidInput."""
    if raw and len(raw) != len(tensors):
        raise InvalidInput(f"expected raw_input_contents for all {len(tensors)} inputs, got {len(raw)}")
    arrays: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(tensors):
        name = tensor.name
        if name in arrays:
            raise InvalidInput(f"input {name[:60]!r}: expected once, got it twice")
        if raw and tensor.HasField("contents"):
            raise InvalidInput(f"input {name[:60]!r}: expected raw_input_contents or contents, got both")
        kind = BY_OIP_NAME.get(tensor.datatype)
        if kind is None:
            raise InvalidInput(
                f"input {name[:60]!r}: expected a datatype of {', '.join(BY_OIP_NAME)}; got {tensor.datatype[:40]!r}"
            )
        shape = list(tensor.shape)
        count = element_count(name, shape)
        flat = from_raw(name, raw[index], kind, count) if raw else _from_contents(name, tensor, kind, count)
        if len(flat) != count:
            raise InvalidInput(f"input {name[:60]!r}: expected {count} values for shape {shape}, got {len(flat)}")
        arrays[name] = flat.reshape(shape)
    return arrays


def encode(name: str, array: np.ndarray, response: Any, *, raw: bool) -> None:
    """Adds an output to a ModelInferResponse."""
    tensor = response.outputs.add()
    kind = describe(name, array, tensor)
    if raw:
        response.raw_output_contents.append(to_raw(array, kind))
    else:
        getattr(tensor.contents, _FIELD[tensor.datatype]).extend(array.ravel().tolist())


def describe(name: str, array: np.ndarray, tensor: Any) -> DataType:
    """Writes name, type and shape of an output into an empty InferOutputTensor."""
    kind = data_type_of(name, array)
    if kind.oip_name is None:
        raise InvalidInput(f"output {name!r} is {kind.name}, which this protocol cannot carry; do not request it")
    tensor.name, tensor.datatype = name, kind.oip_name
    tensor.shape.extend(array.shape)
    return kind


def has_typed_field(name: str, array: np.ndarray) -> bool:
    return data_type_of(name, array).oip_name in _FIELD


def _from_contents(name: str, tensor: Any, kind: DataType, count: int) -> np.ndarray:
    field_name = _FIELD.get(tensor.datatype)
    if field_name is None:
        raise InvalidInput(f"input {name[:60]!r}: expected {tensor.datatype} values in raw_input_contents")
    for field, _ in tensor.contents.ListFields():
        if field.name != field_name:
            raise InvalidInput(
                f"input {name[:60]!r}: expected {tensor.datatype} values in {field_name}, got some in {field.name}"
            )
    values = getattr(tensor.contents, field_name)
    if len(values) != count:
        raise InvalidInput(f"input {name[:60]!r}: expected {count} values for its shape, got {len(values)}")
    if kind.name == "string":
        return np.array(list(values), dtype=object)
    if field_name in ("int_contents", "uint_contents"):
        return _narrow(name, np.fromiter(values, np.int64, len(values)), kind.dtype)
    return np.fromiter(values, kind.dtype, len(values))


def _narrow(name: str, wide: np.ndarray, dtype: np.dtype) -> np.ndarray:
    narrow = wide.astype(dtype)
    if (strays := wide[narrow != wide]).size:
        raise InvalidInput(f"input {name[:60]!r}: expected values that fit {dtype.name}, got {strays[0]}")
    return narrow
