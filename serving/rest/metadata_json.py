"""Signatures as protobuf's own JSON has them: 64-bit integers are strings, and nothing is left out."""

from typing import Any

from serving.datatypes import BY_NAME
from serving.signature import Signature, TensorSpec


def described(signature: Signature) -> dict[str, Any]:
    """A SignatureDef."""
    return {
        "inputs": {name: _tensor_info(spec) for name, spec in signature.inputs.items()},
        "outputs": {name: _tensor_info(spec) for name, spec in signature.outputs.items()},
        "method_name": signature.method_name,
        "defaults": {},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    kind = BY_NAME.get(spec.dtype)
    dims = [{"size": str(-1 if axis is None else axis), "name": ""} for axis in spec.shape or ()]
    return {
        "dtype": kind.tf_name if kind else "DT_INVALID",
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.name,
    }
