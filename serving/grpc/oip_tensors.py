"""The Open Inference Protocol's tensors to numpy and back: raw bytes, or values in typed fields.

Raw tensors are little-endian and row-major. A raw BYTES tensor is its elements one after another, each
after its length in four bytes. FP16 and BF16 have no typed field and travel raw only.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.datatypes import BY_OIP_NAME, DataType, data_type_of, element_count
from serving.errors import InvalidInput

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
_LENGTH = struct.Struct("<I")


def decode_inputs(tensors: Sequence[Any], raw: Sequence[bytes]) -> dict[str, np.ndarray]:
    """The arrays of a ModelInferRequest; raw ones are read-only. Raises InvalidInput."""
    if raw and len(raw) != len(tensors):
        raise InvalidInput(f"expected raw_input_contents for all {len(tensors)} inputs, got {len(raw)}")
    arrays: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(tensors):
        name = tensor.name
        if name in arrays:
            raise InvalidInput(f"input {name!r}: expected once, got it twice")
        if raw and tensor.HasField("contents"):
            raise InvalidInput(f"input {name!r}: expected raw_input_contents or contents, got both")
        kind = BY_OIP_NAME.get(tensor.datatype)
        if kind is None:
            raise InvalidInput(
                f"input {name!r}: expected a datatype of {', '.join(BY_OIP_NAME)}; got {tensor.datatype[:40]!r}"
            )
        shape = list(tensor.shape)
        count = element_count(name, shape)
        flat = _from_raw(name, raw[index], kind, count) if raw else _from_contents(name, tensor, kind, count)
        if len(flat) != count:
            raise InvalidInput(f"input {name!r}: expected {count} values for shape {shape}, got {len(flat)}")
        arrays[name] = flat.reshape(shape)
    return arrays


def encode(name: str, array: np.ndarray, response: Any, *, raw: bool) -> None:
    """Adds an output to a ModelInferResponse."""
    kind = data_type_of(name, array)
    if kind.oip_name is None:
        raise InvalidInput(f"output {name!r} is {kind.name}, which this protocol cannot carry; do not request it")
    tensor = response.outputs.add(name=name, datatype=kind.oip_name, shape=array.shape)
    if raw:
        response.raw_output_contents.append(_to_raw(array, kind))
    else:
        getattr(tensor.contents, _FIELD[kind.oip_name]).extend(array.ravel().tolist())


def has_typed_field(name: str, array: np.ndarray) -> bool:
    return data_type_of(name, array).oip_name in _FIELD


def _from_raw(name: str, content: bytes, kind: DataType, count: int) -> np.ndarray:
    if kind.name == "string":
        return _strings(name, content, count)
    if len(content) != count * kind.dtype.itemsize:
        raise InvalidInput(
            f"input {name!r}: expected {count * kind.dtype.itemsize} raw bytes for {count} values of "
            f"{kind.oip_name}, got {len(content)}"
        )
    return np.frombuffer(content, kind.dtype)


def _to_raw(array: np.ndarray, kind: DataType) -> bytes:
    if kind.name == "string":
        return b"".join(_LENGTH.pack(len(value)) + value for value in array.ravel())
    return array.tobytes()


def _strings(name: str, content: bytes, count: int) -> np.ndarray:
    values: list[bytes] = []
    position = 0
    while position < len(content):
        if len(values) == count:
            raise InvalidInput(f"input {name!r}: expected {count} strings, got more")
        start = position + _LENGTH.size
        if start > len(content):
            raise InvalidInput(f"input {name!r}: expected a length of 4 bytes at byte {position}, got the end")
        (length,) = _LENGTH.unpack_from(content, position)
        position = start + length
        if position > len(content):
            raise InvalidInput(f"input {name!r}: expected {length} bytes at byte {start}, got {len(content) - start}")
        values.append(content[start:position])
    return np.array(values, dtype=object)


def _from_contents(name: str, tensor: Any, kind: DataType, count: int) -> np.ndarray:
    field_name = _FIELD.get(tensor.datatype)
    if field_name is None:
        raise InvalidInput(f"input {name!r}: expected {tensor.datatype} values in raw_input_contents")
    for field, _ in tensor.contents.ListFields():
        if field.name != field_name:
            raise InvalidInput(
                f"input {name!r}: expected {tensor.datatype} values in {field_name}, got some in {field.name}"
            )
    values = getattr(tensor.contents, field_name)
    if len(values) != count:
        raise InvalidInput(f"input {name!r}: expected {count} values for its shape, got {len(values)}")
    if kind.name == "string":
        return np.array(list(values), dtype=object)
    if field_name in ("int_contents", "uint_contents"):
        return _narrow(name, np.fromiter(values, np.int64, len(values)), kind.dtype)
    return np.fromiter(values, kind.dtype, len(values))


def _narrow(name: str, wide: np.ndarray, dtype: np.dtype) -> np.ndarray:
    narrow = wide.astype(dtype)
    if (strays := wide[narrow != wide]).size:
        raise InvalidInput(f"input {name!r}: expected values that fit {dtype.name}, got {strays[0]}")
    return narrow
