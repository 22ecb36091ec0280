"""TensorProto to numpy and back, by the rules of tensor.proto and without TensorFlow's own code.

A TensorProto carries its values either as bytes in `tensor_content` or in the repeated field of its type.
There may be fewer values in the field than elements in the shape: the last one then repeats, and none at
all means zeros.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from serving.datatypes import BY_TF_NUMBER, DataType, data_type_of, element_count
from serving.errors import InvalidInput

_FIELD = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int16": "int_val",
    "int8": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "int64": "int64_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
    "float16": "half_val",
    "bfloat16": "half_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
}
# Two numbers make one complex value.
_PARTS: dict[str, np.dtype] = {"complex64": np.dtype(np.float32), "complex128": np.dtype(np.float64)}
_HALVES = ("float16", "bfloat16")
# Packed fields of fixed width hold the array's own bytes, so these need no conversion (16 times faster for
# 345 floats); the rest hold varints. A key is (field number << 3) | 2.
_PACKED_KEY = {"float32": b"\x2a", "float64": b"\x32"}


def decode_inputs(
    tensors: Mapping[str, Any], max_repeated_bytes: int, contents: Mapping[str, memoryview] = MappingProxyType({})
) -> dict[str, np.ndarray]:
    """The arrays of a request, read-only where they share the message's memory.

    contents: the `tensor_content` of those tensors of which it was not copied into the message.
    max_repeated_bytes bounds, over all inputs, the memory of tensors that have fewer values than elements:
    without it a message of thirty bytes could ask for a terabyte. Raises InvalidInput.
    """
    arrays = {}
    for name, tensor in tensors.items():
        try:
            array, repeated = _decode(name, tensor, max_repeated_bytes, contents.get(name))
        except InvalidInput as error:
            raise InvalidInput(f"tensor parsing error: {error.message}") from None
        max_repeated_bytes -= repeated
        arrays[name] = array
    return arrays


def encode(name: str, array: np.ndarray, tensor: Any, *, as_content: bool = False) -> None:
    """Writes an array into an empty TensorProto, in the field of its type.

    as_content: numbers into `tensor_content` instead, as TF Serving does when told; few clients read strings there.
    """
    kind = describe(name, array, tensor)
    flat = array.ravel()
    if as_content and kind.name != "string":
        tensor.tensor_content = flat.tobytes()
        return
    if key := _PACKED_KEY.get(kind.name):
        tensor.MergeFromString(key + varint(flat.nbytes) + flat.tobytes())
        return
    if kind.name in _HALVES:
        flat = flat.view(np.uint16)
    elif kind.name in _PARTS:
        flat = flat.view(_PARTS[kind.name])
    getattr(tensor, _FIELD[kind.name]).extend(flat.tolist())


def describe(name: str, array: np.ndarray, tensor: Any) -> DataType:
    """Writes type and shape of an array into an empty TensorProto."""
    kind = data_type_of(name, array)
    tensor.dtype = kind.tf_number
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return kind


def _decode(name: str, tensor: Any, max_repeated_bytes: int, apart: memoryview | None) -> tuple[np.ndarray, int]:
    kind = BY_TF_NUMBER.get(tensor.dtype)
    if kind is None:
        expected = ", ".join(known.tf_name for known in BY_TF_NUMBER.values())
        raise InvalidInput(f"input {name!r}: expected a dtype of {expected}; got {_dtype_name(tensor)}")
    if tensor.tensor_shape.unknown_rank:
        raise InvalidInput(f"input {name!r}: expected a tensor_shape with its dimensions, got unknown_rank")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    count = element_count(name, shape)
    if content := apart or tensor.tensor_content:
        return _from_content(name, content, kind, shape, count), 0
    given = len(getattr(tensor, _FIELD[kind.name])) // (2 if kind.name in _PARTS else 1)
    if given > count:  # before they are read: a message can hold millions
        raise InvalidInput(
            f"input {name!r}: expected {count} values for shape {shape}, got {given} in {_FIELD[kind.name]}"
        )
    values = _values(name, tensor, kind)
    if len(values) == count:
        return values.reshape(shape), 0
    nbytes = count * kind.dtype.itemsize
    if nbytes > max_repeated_bytes:
        raise InvalidInput(
            f"input {name!r}: expected {count} values for shape {shape}, "
            f"got {len(values)} in {_FIELD[kind.name]}; "
            f"repeating the last one would take {nbytes} bytes, and {max_repeated_bytes} are allowed"
        )
    filled = np.empty(count, kind.dtype)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1] if len(values) else b"" if kind.name == "string" else 0
    return filled.reshape(shape), nbytes


def _from_content(name: str, content: bytes | memoryview, kind: DataType, shape: list[int], count: int) -> np.ndarray:
    if kind.name == "string":
        return _from_string_content(name, bytes(content), count).reshape(shape)
    if len(content) != count * kind.dtype.itemsize:
        raise InvalidInput(
            f"input {name!r}: expected {count * kind.dtype.itemsize} bytes of tensor_content for "
            f"{kind.tf_name} {shape}, got {len(content)}"
        )
    if kind.name == "bool" and np.frombuffer(content, np.uint8).max(initial=0) > 1:
        raise InvalidInput(f"input {name!r}: expected bytes of 0 and 1 for booleans, got another one")
    return np.frombuffer(content, kind.dtype).reshape(shape)


def _from_string_content(name: str, content: bytes, count: int) -> np.ndarray:
    """The lengths of all strings as varints, then the strings (TensorFlow's EncodeStringList)."""
    if count > len(content):
        raise InvalidInput(f"input {name!r}: expected {count} strings in tensor_content, got {len(content)} bytes")
    lengths = []
    start = 0
    for _ in range(count):
        length, start = _read_varint(content, start)
        lengths.append(length)
    strings = np.empty(count, dtype=object)
    for index, length in enumerate(lengths):
        strings[index] = content[start : start + length]
        start += length
    if start != len(content):
        raise InvalidInput(f"input {name!r}: expected {start} bytes of tensor_content, got {len(content)}")
    return strings


def _values(name: str, tensor: Any, kind: DataType) -> np.ndarray:
    """The repeated field's values, flat."""
    field = getattr(tensor, _FIELD[kind.name])
    if not field:
        _refuse_other_fields(name, tensor, kind)
    if kind.name == "string":
        return np.array(list(field), dtype=object)
    if kind.name in _HALVES:
        return _narrow(name, field, np.dtype(np.uint16)).view(kind.dtype)
    if (parts := _PARTS.get(kind.name)) is not None:
        if len(field) % 2:
            raise InvalidInput(f"input {name!r}: expected pairs of real and imaginary parts, got {len(field)}")
        return np.fromiter(field, parts, len(field)).view(kind.dtype)
    if _FIELD[kind.name] == "int_val":
        return _narrow(name, field, kind.dtype)
    return np.fromiter(field, kind.dtype, len(field))


def _narrow(name: str, field: Any, dtype: np.dtype) -> np.ndarray:
    wide = np.fromiter(field, np.int32, len(field))
    narrow = wide.astype(dtype)
    if dtype != wide.dtype and (strays := wide[narrow != wide]).size:
        raise InvalidInput(f"input {name!r}: expected values that fit {dtype.name}, got {strays[0]}")
    return narrow


def _refuse_other_fields(name: str, tensor: Any, kind: DataType) -> None:
    """Zeros are what no values mean; values in the wrong field must not turn into zeros unseen."""
    for field, _ in tensor.ListFields():
        if field.name.endswith("_val"):
            raise InvalidInput(
                f"input {name!r}: expected {kind.tf_name} values in {_FIELD[kind.name]}, got some in {field.name}"
            )


def _dtype_name(tensor: Any) -> str:
    value = tensor.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number.get(tensor.dtype)
    return value.name if value else str(tensor.dtype)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of at most ten bytes, and where it ends; what is missing counts as zero."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[at] if at < len(content) else 0
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
    return number, at


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
