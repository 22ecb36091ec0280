"""numpy arrays to Open Inference Protocol tensors and back, with raw contents.

Source: https://github.com/kserve/open-inference-protocol, "Tensor Data" and "Raw Tensor Data".
"""

import struct
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from tritonclient.grpc import service_pb2

from seqserve_client._exceptions import BadAnswer, InvalidInput

Array = np.ndarray[Any, np.dtype[Any]]

_DATATYPES: dict[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
}
_DTYPES: dict[str, np.dtype[Any]] = {
    datatype: np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name).newbyteorder("<")
    for name, datatype in _DATATYPES.items()
}
_TYPED_FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_LENGTH = struct.Struct("<I")


def encode(name: str, array: Array) -> tuple[str, bytes]:
    """An array's datatype name and its bytes: little-endian, row-major; strings each after their length.

    Raises InvalidInput for a dtype that the protocol does not have.
    """
    if array.dtype.kind in "OSU":
        return "BYTES", b"".join(_length_and_bytes(name, item) for item in array.ravel())
    datatype = _DATATYPES.get(array.dtype.name)
    if datatype is None:
        raise InvalidInput(f"{name}: expected an array of bool, integers, floats or strings. Received: {array.dtype}")
    return datatype, array.astype(_DTYPES[datatype], order="C", copy=False).tobytes()


def _length_and_bytes(name: str, item: object) -> bytes:
    data = item.encode() if isinstance(item, str) else item
    if not isinstance(data, bytes):
        raise InvalidInput(f"{name}: expected str or bytes in an array of objects. Received: {item!r}")
    return _LENGTH.pack(len(data)) + data


def decode(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """The array of an output tensor: a read-only view of `raw`, or bytes objects for strings.

    Raises BadAnswer where datatype, shape and bytes do not agree.
    """
    if datatype == "BYTES":
        flat: Array = np.array(_split(name, raw), dtype=object)
    elif datatype not in _DTYPES:
        raise BadAnswer(f"{name}: expected one of {sorted(_DTYPES)} or BYTES. Received: {datatype!r}")
    elif len(raw) % _DTYPES[datatype].itemsize:
        raise BadAnswer(f"{name}: expected whole {datatype} values. Received: {len(raw)} bytes")
    else:
        flat = np.frombuffer(raw, _DTYPES[datatype])
    return _shaped(name, flat, shape)


def decode_typed(name: str, datatype: str, shape: Sequence[int], contents: Any) -> Array:
    """The array of an output tensor that came in typed contents."""
    field = _TYPED_FIELDS.get(datatype)
    if field is None:
        raise BadAnswer(f"{name}: {datatype!r} cannot come in typed contents")
    dtype = np.dtype(object) if datatype == "BYTES" else _DTYPES[datatype]
    return _shaped(name, np.array(list(getattr(contents, field)), dtype=dtype), shape)


def _split(name: str, raw: bytes) -> list[bytes]:
    items = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise BadAnswer(f"{name}: a string's length is cut off")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise BadAnswer(f"{name}: expected a string of {length} bytes. Received: {len(raw) - at}")
        items.append(raw[at : at + length])
        at += length
    return items


def _shaped(name: str, flat: Array, shape: Sequence[int]) -> Array:
    try:
        return flat.reshape(tuple(shape))
    except ValueError:
        raise BadAnswer(f"{name}: expected {list(shape)} values. Received: {flat.size}") from None


def infer_request(
    model: str, version: str, inputs: dict[str, Array], outputs: Sequence[str], signature: str = ""
) -> Any:
    """The ModelInferRequest message for these arrays; by the default signature where none is named."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    if signature:
        request.parameters["signature_name"].string_param = signature
    for name, array in inputs.items():
        datatype, raw = encode(name, array)
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(raw)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def outputs_of(response: Any) -> dict[str, Array]:
    """The arrays of a ModelInferResponse by name."""
    raw = response.raw_output_contents
    if not raw:
        return {out.name: decode_typed(out.name, out.datatype, out.shape, out.contents) for out in response.outputs}
    if len(raw) != len(response.outputs):
        raise BadAnswer(f"expected raw contents for {len(response.outputs)} outputs. Received: {len(raw)}")
    return {
        out.name: decode(out.name, out.datatype, out.shape, data)
        for out, data in zip(response.outputs, raw, strict=True)
    }
