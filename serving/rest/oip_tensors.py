"""The Open Inference Protocol's inputs and outputs in an HTTP body: JSON, and bytes after it.

With the header Inference-Header-Content-Length the JSON ends after so many bytes, and the tensors that say a
`binary_data_size` follow one after another.
Source: Triton's docs/protocol/extension_binary_data.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.datatypes import BY_NAME, BY_OIP_NAME, DataType, data_type_of, element_count
from serving.errors import InvalidInput
from serving.oip.classification import top_classes
from serving.oip.raw import from_raw, to_raw
from serving.rest.arrays import dump, to_array, to_jsonable
from serving.signature import Signature, TensorSpec

HEADER_LENGTH = "Inference-Header-Content-Length"
_WORDS: Mapping[type, str] = {
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    int: "an integer",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output asked for: whether as bytes (None: as the request says of all), and of how many classes, 0 for none."""

    name: str
    binary: bool | None = None
    classes: int = 0


def split(body: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """The JSON part of a body and what follows it. Raises InvalidInput."""
    if header is None:
        return body, memoryview(b"")
    if not (header.isascii() and header.isdigit() and len(header) < 20) or int(header) > len(body):
        raise InvalidInput(f"inference header size should be in range (0, {len(body)}), got: {header[:40]}")
    length = int(header)
    return body[:length], memoryview(body)[length:]


def field(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A value of a JSON object, of the type that it must have. Raises InvalidInput."""
    value = body.get(name, default)
    if type(value) is not kind:
        raise InvalidInput(f"expected {name!r} to be {_WORDS[kind]}, got another JSON value")
    return value


def decode_inputs(tensors: list[Any], binary: memoryview) -> dict[str, np.ndarray]:
    """The arrays of a request. Raises InvalidInput."""
    arrays: dict[str, np.ndarray] = {}
    position = 0
    for tensor in tensors:
        if not isinstance(tensor, dict):
            raise InvalidInput("expected each of 'inputs' to be an object, got another JSON value")
        name = field(tensor, "name", str, "")
        if name in arrays:
            raise InvalidInput(f"input {name[:60]!r}: expected once, got it twice")
        kind, shape, count = _described(name, tensor)
        parameters = field(tensor, "parameters", dict, {})
        refuse_shared_memory(name, parameters)
        size = field(parameters, "binary_data_size", int, -1)
        if "binary_data_size" not in parameters:
            arrays[name] = _from_json(name, tensor, kind, shape, count)
            continue
        if "data" in tensor:
            raise InvalidInput(f"input {name[:60]!r}: expected 'data' or 'binary_data_size', got both")
        if not 0 <= size <= len(binary) - position:
            raise InvalidInput(
                f"unexpected size for input '{name[:60]}', expecting 'binary_data_size' of 0 to "
                f"{len(binary) - position} bytes, which follow the JSON; got another one"
            )
        arrays[name] = from_raw(name, binary[position : position + size], kind, count).reshape(shape)
        position += size
    if position != len(binary):
        raise InvalidInput(f"unexpected additional input data: {len(binary) - position} bytes that no input claims")
    return arrays


def wanted_outputs(outputs: list[Any]) -> tuple[Wanted, ...]:
    """The outputs asked for; none for all. Raises InvalidInput."""
    return tuple(_wanted(output) for output in outputs)


def raw_input(signature: Signature, body: bytes) -> dict[str, np.ndarray]:
    """The one input of a model out of a body that is nothing but its bytes; of strings, one whole string.

    The body fills the one variable axis; beside another, the first one is a batch of one. Raises InvalidInput.
    """
    specs = list(signature.inputs.values())
    kind = BY_NAME.get(specs[0].dtype) if len(specs) == 1 else None
    if kind is None or specs[0].shape is None:
        raise InvalidInput(
            f"a raw binary request needs a model with one input of a known rank; got the inputs "
            f"{[str(spec) for spec in specs[:10]]}"
        )
    shape = list(specs[0].shape)
    if shape.count(None) > 1 and shape[0] is None:
        shape[0] = 1
    if kind.name == "string":
        if any(size not in (None, 1) for size in shape):
            raise InvalidInput(f"a raw binary request is one string; got an input of {specs[0]}")
        return {specs[0].name: np.full([1] * len(shape), body, dtype=object)}
    row = math.prod(size for size in shape if size is not None) * kind.dtype.itemsize
    if shape.count(None) > 1 or not row or len(body) % row or (None not in shape and len(body) != row):
        raise InvalidInput(f"expected raw bytes for {specs[0]}, got {len(body)}")
    array = np.frombuffer(body, kind.dtype)
    return {specs[0].name: array.reshape([-1 if size is None else size for size in shape])}


def encode_answer(
    answer: dict[str, Any], outputs: Mapping[str, np.ndarray], wanted: Sequence[Wanted], *, binary: bool
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part; None where nothing is sent as bytes.

    binary: whether outputs that were not asked for in another way are sent as bytes.
    """
    asked = {output.name: output for output in wanted}
    described, plain, chunks = [], [], []
    for name, array in outputs.items():
        choice = asked.get(name, Wanted(name))
        shown = top_classes(name, array, choice.classes) if choice.classes else array
        kind = data_type_of(name, shown)
        if kind.oip_name is None:
            raise InvalidInput(f"output {name!r} is {kind.name}, which this protocol cannot carry; do not request it")
        output: dict[str, Any] = {"name": name, "datatype": kind.oip_name, "shape": shown.shape}
        if binary if choice.binary is None else choice.binary:
            chunks.append(to_raw(shown, kind))
            output["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            output["data"] = to_jsonable(name, shown.reshape(-1))
            plain.append(shown)
        described.append(output)
    head = dump({**answer, "outputs": described}, plain)
    return (b"".join([head, *chunks]), len(head)) if chunks else (head, None)


def refuse_shared_memory(name: str, parameters: Mapping[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise InvalidInput(f"tensor {name[:60]!r}: the parameter 'shared_memory_region' is not supported here")


def _described(name: str, tensor: Mapping[str, Any]) -> tuple[DataType, list[int], int]:
    datatype = field(tensor, "datatype", str, "")
    kind = BY_OIP_NAME.get(datatype)
    if kind is None:
        raise InvalidInput(
            f"input {name[:60]!r}: expected a datatype of {', '.join(BY_OIP_NAME)}; got {datatype[:40]!r}"
        )
    shape: list[int] = field(tensor, "shape", list, None)
    if any(type(size) is not int for size in shape):
        raise InvalidInput(f"input {name[:60]!r}: expected 'shape' to be a list of integers")
    return kind, shape, element_count(name[:60], shape)


def _from_json(name: str, tensor: Mapping[str, Any], kind: DataType, shape: list[int], count: int) -> np.ndarray:
    name = name[:60]
    if "data" not in tensor:
        raise InvalidInput(f"input {name!r}: expected its values in 'data', got the keys {sorted(tensor)[:10]}")
    array = to_array(tensor["data"], TensorSpec(name, kind.name, tuple(shape)))
    if array.size != count or array.shape not in ((count,), tuple(shape)):
        raise InvalidInput(
            f"input {name!r}: expected {count} values, flat or of shape {shape}, got shape {list(array.shape)}"
        )
    return array.reshape(shape)


def _wanted(output: Any) -> Wanted:
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        raise InvalidInput("expected each of 'outputs' to be an object with a 'name', got another JSON value")
    parameters = field(output, "parameters", dict, {})
    refuse_shared_memory(output["name"], parameters)
    classes = field(parameters, "classification", int, 0)
    if classes < 0:
        raise InvalidInput(f"expected 'classification' to be 0 or more, got {str(classes)[:20]}")
    binary = field(parameters, "binary_data", bool, False) if "binary_data" in parameters else None
    return Wanted(output["name"], binary, classes)
