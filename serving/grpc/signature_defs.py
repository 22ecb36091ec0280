"""Signatures as TensorFlow's own messages."""

from typing import Any

from serving.datatypes import BY_NAME
from serving.signature import Signature, TensorSpec


def write_signature(signature: Signature, definition: Any) -> None:
    """Writes a signature into an empty SignatureDef."""
    definition.method_name = signature.method_name
    for alias, spec in signature.inputs.items():
        _write_tensor(definition.inputs[alias], spec)
    for alias, spec in signature.outputs.items():
        _write_tensor(definition.outputs[alias], spec)


def _write_tensor(info: Any, spec: TensorSpec) -> None:
    info.name = spec.name
    if spec.dtype in BY_NAME:
        info.dtype = BY_NAME[spec.dtype].tf_number
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for axis in spec.shape:
        info.tensor_shape.dim.add(size=-1 if axis is None else axis)
