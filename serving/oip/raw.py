"""Tensors as bytes, as the protocol sends them after a message: little-endian, row-major.

A BYTES tensor is its elements one after another, each after its length in four bytes.
"""

import struct

import numpy as np

from serving.datatypes import DataType
from serving.errors import InvalidInput

_LENGTH = struct.Struct("<I")


def from_raw(name: str, content: bytes | memoryview, kind: DataType, count: int) -> np.ndarray:
    """The flat array of `count` elements, read-only where they are numbers. Raises InvalidInput."""
    if kind.name == "string":
        return _strings(name, content, count)
    if len(content) != count * kind.dtype.itemsize:
        raise InvalidInput(
            f"input {name[:60]!r}: expected {count * kind.dtype.itemsize} raw bytes for {count} values of "
            f"{kind.oip_name}, got {len(content)}"
        )
    return np.frombuffer(content, kind.dtype)


def to_raw(array: np.ndarray, kind: DataType) -> bytes:
    """The bytes of an output."""
    if kind.name == "string":
        return b"".join(_LENGTH.pack(len(value)) + value for value in array.ravel())
    return array.tobytes()


def _strings(name: str, content: bytes | memoryview, count: int) -> np.ndarray:
    name = name[:60]
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
        values.append(bytes(content[start:position]))
    if len(values) != count:
        raise InvalidInput(f"input {name!r}: expected {count} strings for its shape, got {len(values)}")
    return np.array(values, dtype=object)
