"""PredictResponse as bytes: what stays the same from answer to answer is made once, and numbers go in as they are.

Source: tensorflow_serving/apis/predict.proto, tensorflow/core/framework/tensor.proto and the encoding of protobuf, in
which a packed field of numbers of fixed width is their array's own bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from serving.engine import InferResult
from serving.grpc.model_spec import describe
from serving.grpc.tensors import describe as describe_tensor
from serving.grpc.tensors import encode, varint

# Keys of fields that hold bytes: (field number << 3) | 2.
_OUTPUTS, _ENTRY_KEY, _ENTRY_VALUE, _CONTENT = b"\x0a", b"\x0a", b"\x12", b"\x22"
_PACKED: Mapping[np.dtype, bytes] = {np.dtype(np.float32): b"\x2a", np.dtype(np.float64): b"\x32"}
_MOST_KNOWN = 1024


class PredictAnswers:
    """Writes answers; knows again those whose outputs have the same names, types and shapes.

    tensor_content: numbers into `tensor_content` instead of the field of their type.
    """

    def __init__(self, *, tensor_content: bool = False) -> None:
        self._tensor_content = tensor_content
        self._known: dict[object, Sequence[bytes]] = {}

    def write(self, result: InferResult) -> bytes:
        """The serialised PredictResponse."""
        look: list[object] = [result.model, result.version, result.signature]
        for name, array in result.outputs.items():
            look += (name, array.dtype, array.shape)
        pieces = self._known.get(tuple(look))
        if pieces is None:
            if not all(array.dtype in _PACKED and array.size for array in result.outputs.values()):
                return _message(result, self._tensor_content)
            pieces = self._pieces(result)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[tuple(look)] = pieces
        parts: list[Any] = [pieces[0]]
        for array, piece in zip(result.outputs.values(), pieces[1:], strict=True):
            parts += (array if array.flags.c_contiguous else np.ascontiguousarray(array), piece)
        return b"".join(parts)

    def _pieces(self, result: InferResult) -> Sequence[bytes]:
        """What stands before each array, and after the last."""
        pieces = []
        spec = predict_pb2.PredictResponse()
        for name, array in result.outputs.items():
            head = spec.outputs[name]
            describe_tensor(name, array, head)
            key = _CONTENT if self._tensor_content else _PACKED[array.dtype]
            before = head.SerializeToString() + key + varint(array.nbytes)
            tensor = _ENTRY_VALUE + varint(len(before) + array.nbytes) + before
            name_field = _ENTRY_KEY + varint(len(name.encode())) + name.encode()
            pieces.append(_OUTPUTS + varint(len(name_field) + len(tensor) + array.nbytes) + name_field + tensor)
        spec.Clear()
        describe(spec.model_spec, result)
        return [*pieces, spec.SerializeToString()]


def _message(result: InferResult, tensor_content: bool) -> bytes:
    """Any answer, by way of the message."""
    response = predict_pb2.PredictResponse()
    describe(response.model_spec, result)
    for name, array in result.outputs.items():
        encode(name, array, response.outputs[name], as_content=tensor_content)
    serialised: bytes = response.SerializeToString()
    return serialised
