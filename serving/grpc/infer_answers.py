"""ModelInferResponse with raw outputs as bytes: what stays the same from answer to answer is made once.

Source: Triton's grpc_service.proto and the encoding of protobuf, in which fields may come in any order.
"""

from collections.abc import Mapping

import numpy as np
from tritonclient.grpc import service_pb2

from serving.datatypes import DataType
from serving.engine import InferResult
from serving.grpc.oip_tensors import describe
from serving.grpc.tensors import varint
from serving.oip.raw import to_raw

# Keys of fields that hold bytes: (field number << 3) | 2.
_ID, _RAW_OUTPUT_CONTENTS = b"\x1a", b"\x32"
_MOST_KNOWN = 1024


class InferAnswers:
    """Writes answers; knows again those whose outputs have the same names, types and shapes."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[bytes, Mapping[str, DataType]]] = {}

    def write(self, result: InferResult, request_id: str) -> bytes:
        """The serialised ModelInferResponse. Raises InvalidInput for an output that the protocol cannot carry."""
        look: list[object] = [result.model, result.version]
        for name, array in result.outputs.items():
            look += (name, array.dtype, array.shape)
        known = self._known.get(tuple(look))
        if known is None:
            known = _head(result)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[tuple(look)] = known
        head, kinds = known
        parts = [head]
        if request_id:
            told = request_id.encode()
            parts += (_ID, varint(len(told)), told)
        for name, array in result.outputs.items():
            raw = to_raw(array, kinds[name])
            parts += (_RAW_OUTPUT_CONTENTS, varint(len(raw)), raw)
        return b"".join(parts)


def _head(result: InferResult) -> tuple[bytes, Mapping[str, DataType]]:
    response = service_pb2.ModelInferResponse(model_name=result.model, model_version=str(result.version))
    outputs: Mapping[str, np.ndarray] = result.outputs
    kinds = {name: describe(name, array, response.outputs.add()) for name, array in outputs.items()}
    return response.SerializeToString(), kinds
