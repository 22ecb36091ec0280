"""TF Serving's predict bodies: rows ("instances") or columns ("inputs") in, the same out.

The rules, and the words that clients look for, are those of its util/json_tensor.cc.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.quoting import listed, shown
from serving.rest.arrays import dump, is_base64, json_type, quote, to_array, to_jsonable
from serving.rest.misfits import in_column, in_rows
from serving.signature import DEFAULT_SIGNATURE, Signature

_INSTANCES = "instances"
_INPUTS = "inputs"


def checked(body: Any) -> Mapping[str, Any]:
    """The body, which must be an object; raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput(f"JSON Value: {quote(body)} Is not object")
    return body


def signature_name(body: Mapping[str, Any]) -> str:
    """The signature that a body asks for, or the default one."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidInput(
            f"JSON Value: {quote(name)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or DEFAULT_SIGNATURE


def is_row_format(body: Mapping[str, Any]) -> bool:
    """Whether a body comes in rows, and so wants its answer; raises InvalidInput where it has neither form."""
    if _INSTANCES in body and _INPUTS in body:
        raise InvalidInput(f"Not formatted correctly expecting only one of '{_INPUTS}' or '{_INSTANCES}' keys to exist")
    if _INSTANCES not in body and _INPUTS not in body:
        raise InvalidInput(f"Missing '{_INPUTS}' or '{_INSTANCES}' key; received: {listed(body)}")
    return _INSTANCES in body


def to_inputs(body: Mapping[str, Any], signature: Signature) -> dict[str, np.ndarray]:
    """The arrays that a body of either form holds. Raises InvalidInput."""
    rows: Any = body.get(_INSTANCES)
    by_rows = _INSTANCES in body
    columns = _of_rows(rows, signature) if by_rows else _of_columns(body[_INPUTS], signature)
    arrays = {}
    for name, column in columns.items():
        spec = signature.inputs[name]
        try:
            arrays[name] = to_array(column, spec, lossless=True)
        except InvalidInput as error:
            words = in_rows(column, spec, named=_is_named(rows[0])) if by_rows else in_column(column, spec)
            if words:
                raise InvalidInput(f"{words} ({error.message})") from None
            raise
    return arrays


def _of_rows(instances: Any, signature: Signature) -> Mapping[str, Any]:
    """Row format: one value or object per instance."""
    if not isinstance(instances, list):
        raise InvalidInput(f"Excepting '{_INSTANCES}' to be an list/array; received: JSON {json_type(instances)}")
    if not instances:
        raise InvalidInput(f"No values in '{_INSTANCES}' array")
    named = _is_named(instances[0])
    if not named and len(signature.inputs) != 1:
        raise InvalidInput(
            f"{_INSTANCES} is a plain list, but expecting list of objects as multiple input tensors required: "
            f"{listed(signature.inputs)}"
        )
    names = signature.inputs.keys()
    alike = named and "b64" not in names
    for index, instance in enumerate(instances):
        if alike and type(instance) is dict and instance.keys() == names:
            continue  # as all are but those that are wrong
        if _is_named(instance) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise InvalidInput(f"Expecting {wanted} but got {got} at item {index} of input list")
        if named and instance.keys() != signature.inputs.keys():
            if strays := [name for name in instance if name not in signature.inputs]:
                raise InvalidInput(
                    f"Failed to process element: {index} key: {shown(strays[0])} of '{_INSTANCES}' list. "
                    f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {shown(strays[0])}; "
                    f"keys must be equal to: {listed(signature.inputs)[1:-1]}"
                )
            raise InvalidInput(
                f"Failed to process element: {index} of '{_INSTANCES}' list. JSON object: {listed(instance)} "
                f"keys must be equal to: {listed(signature.inputs)[1:-1]}"
            )
    if named:
        return {name: [instance[name] for instance in instances] for name in signature.inputs}
    return {next(iter(signature.inputs)): instances}


def _of_columns(inputs: Any, signature: Signature) -> Mapping[str, Any]:
    """Column format: one tensor per input, and with a single input perhaps the bare tensor; other names are ignored."""
    if not _is_named(inputs):
        if len(signature.inputs) != 1:
            raise InvalidInput(
                f"{_INPUTS} is a plain value/list, but expecting an object as multiple input tensors required: "
                f"{listed(signature.inputs)}"
            )
        return {next(iter(signature.inputs)): inputs}
    for name in signature.inputs:
        if name not in inputs:
            raise InvalidInput(f"Missing named input: {shown(name)} in '{_INPUTS}' object; received: {listed(inputs)}")
    return {name: inputs[name] for name in signature.inputs}


def _is_named(value: Any) -> bool:
    """Whether an object names inputs, rather than being a string in base64."""
    return isinstance(value, dict) and not is_base64(value)


def answer(outputs: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    """The answer's body; raises InvalidInput where rows are asked for and the outputs have none in common."""
    return dump(_in_rows(outputs) if rows else _in_columns(outputs), outputs.values())


def _in_rows(outputs: Mapping[str, np.ndarray]) -> Any:
    advice = f"expected '{_INPUTS}' instead of '{_INSTANCES}' for outputs without a batch in common"
    size = None
    for name, array in outputs.items():
        if not array.ndim:
            raise InvalidInput(f"Tensor name: {name} has no shape information; {advice}")
        if size is not None and len(array) != size:
            raise InvalidInput(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}; {advice}"
            )
        size = len(array)
    columns = _jsonable(outputs)
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def _in_columns(outputs: Mapping[str, np.ndarray]) -> Any:
    columns = _jsonable(outputs)
    return {"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}


def _jsonable(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: to_jsonable(name, array, as_base64=name.endswith("_bytes")) for name, array in outputs.items()}
