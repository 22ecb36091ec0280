"""TF Serving's REST API: predict in row and column format, status and metadata."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from serving.control import Control
from serving.datatypes import BY_NAME
from serving.engine import Engine, InferRequest
from serving.errors import InvalidInput
from serving.offload import sized
from serving.oip import version_number
from serving.rest.arrays import dump, nbytes, parse, to_array, to_jsonable
from serving.rest.endpoint import Call
from serving.rest.errors import HttpError
from serving.signature import DEFAULT_SIGNATURE, Signature, TensorSpec

_FIELDS = frozenset({"signature_name", "instances", "inputs"})


class TensorFlowServing:
    """The handlers; each takes the model from the path, with a version, a label or neither."""

    def __init__(self, engine: Engine, control: Control) -> None:
        self._engine = engine
        self._control = control

    async def predict(self, call: Call) -> Response:
        with self._engine.refusals(call.path["model"]):
            request, rows = await self._request(call)
        result = await self._engine.infer(request)
        return _json(await sized(nbytes(result.outputs), _answer, result.outputs, rows=rows))

    async def _request(self, call: Call) -> tuple[InferRequest, bool]:
        """The request, whose JSON only a signature gives types; and whether it is in row format."""
        model, version, label = _addressed(call.path)
        deadline = self._engine.deadline()
        body = await sized(len(call.body), parse, call.body)
        rows = _is_row_format(body)
        await self._engine.started(deadline)
        metadata = self._engine.metadata(model, version, label)
        while True:
            signature = metadata.signature(_signature_name(body))
            decode = partial(_rows, body["instances"]) if rows else partial(_columns, body["inputs"])
            inputs = await sized(len(call.body), decode, signature)
            latest = self._engine.metadata(model, version, label)
            if latest.version == metadata.version:
                break
            metadata = latest  # it took over while a thread was at work, and may take other inputs
        # Nothing else runs before the engine looks the version up.
        request = InferRequest(model, inputs, version=metadata.version, signature=signature.name, deadline=deadline)
        return request, rows

    async def status(self, call: Call) -> Response:
        statuses = await self._control.status(*_addressed(call.path))
        return _json_of(
            {
                "model_version_status": [
                    {
                        "version": str(status.version),
                        "state": status.state.name,
                        "status": {"error_code": status.code.name, "error_message": status.message},
                    }
                    for status in statuses
                ]
            }
        )

    async def metadata(self, call: Call) -> Response:
        metadata = self._engine.metadata(*_addressed(call.path))
        signatures = {name: _described(signature) for name, signature in metadata.signatures.items()}
        return _json_of(
            {
                "model_spec": {"name": metadata.name, "signature_name": "", "version": str(metadata.version)},
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        )

    async def unimplemented(self, call: Call) -> Response:
        raise HttpError(501, f"expected :predict, got :{call.path['method']}, which this server does not offer")


def _addressed(path: Mapping[str, str]) -> tuple[str, int | None, str | None]:
    return path["model"], version_number(path.get("version", "")), path.get("label")


def _is_row_format(body: Any) -> bool:
    if not isinstance(body, dict):
        raise InvalidInput("expected a JSON object with 'instances' or 'inputs', got another JSON value")
    if ("instances" in body) == ("inputs" in body):
        raise InvalidInput(f"expected either 'instances' or 'inputs', got the keys {_shown(body)}")
    if not body.keys() <= _FIELDS:
        raise InvalidInput(f"expected no keys but {_shown(_FIELDS)}, got {_shown(body)}")
    return "instances" in body


def _signature_name(body: Mapping[str, Any]) -> str:
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidInput("expected 'signature_name' to be a string, got another JSON value")
    return name or DEFAULT_SIGNATURE


def _rows(instances: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Row format: one value or object per instance."""
    if not isinstance(instances, list) or not instances:
        raise InvalidInput("expected 'instances' to be a list with at least one instance, got none")
    if len(signature.inputs) == 1 and not _is_named(instances[0]):
        (spec,) = signature.inputs.values()
        return {spec.name: to_array(instances, spec)}
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != signature.inputs.keys():
            got = _shown(instance) if isinstance(instance, dict) else "no object"
            raise InvalidInput(
                f"expected each instance to be an object with {_shown(signature.inputs)}, got {got} in instance {index}"
            )
    return {name: to_array([instance[name] for instance in instances], spec) for name, spec in signature.inputs.items()}


def _columns(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Column format: one tensor per input, and with a single input perhaps the bare tensor."""
    if len(signature.inputs) == 1 and not _is_named(inputs):
        (spec,) = signature.inputs.values()
        return {spec.name: to_array(inputs, spec)}
    if not isinstance(inputs, dict) or inputs.keys() != signature.inputs.keys():
        got = _shown(inputs) if isinstance(inputs, dict) else "no object"
        raise InvalidInput(f"expected 'inputs' to be an object with {_shown(signature.inputs)}, got {got}")
    return {name: to_array(inputs[name], spec) for name, spec in signature.inputs.items()}


def _is_named(value: Any) -> bool:
    """Whether an object names inputs, rather than being a string in base64."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _answer(outputs: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    return dump(_row_answer(outputs) if rows else _column_answer(outputs), outputs.values())


def _row_answer(outputs: Mapping[str, np.ndarray]) -> Any:
    sizes = {name: len(array) if array.ndim else None for name, array in outputs.items()}
    if None in sizes.values() or len(set(sizes.values())) != 1:
        raise InvalidInput(
            f"expected 'inputs' instead of 'instances' for a model whose outputs have no batch in common, "
            f"got batches {sizes}"
        )
    columns = _jsonable(outputs)
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def _column_answer(outputs: Mapping[str, np.ndarray]) -> Any:
    columns = _jsonable(outputs)
    return {"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}


def _jsonable(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: to_jsonable(name, array, as_base64=name.endswith("_bytes")) for name, array in outputs.items()}


def _described(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {name: _tensor_info(spec) for name, spec in signature.inputs.items()},
        "outputs": {name: _tensor_info(spec) for name, spec in signature.outputs.items()},
        "method_name": signature.method_name,
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    """A TensorInfo as protobuf's own JSON has it: 64-bit integers are strings."""
    kind = BY_NAME.get(spec.dtype)
    dims = [{"size": str(-1 if axis is None else axis), "name": ""} for axis in spec.shape or ()]
    return {
        "dtype": kind.tf_name if kind else "DT_INVALID",
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.name,
    }


def _shown(names: Any) -> str:
    """The names that came or were expected, at most ten of them."""
    listed = sorted(names)
    return f"{[name[:40] for name in listed[:10]]}{' and more' if len(listed) > 10 else ''}"


def _json_of(answer: Any) -> Response:
    return _json(orjson.dumps(answer))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
