"""The Open Inference Protocol over HTTP, with tensors in JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from serving import oip
from serving.control import Control
from serving.datatypes import BY_NAME, BY_OIP_NAME, data_type_of, element_count
from serving.engine import Engine, InferRequest, InferResult
from serving.errors import InvalidInput
from serving.offload import sized
from serving.rest.arrays import dump, nbytes, parse, to_array, to_jsonable
from serving.rest.endpoint import Call
from serving.signature import DEFAULT_SIGNATURE, TensorSpec

# The protocol wants a 4xx for "no", where 503 would be the common choice.
_NOT_READY = 400
_WORDS: Mapping[type, str] = {str: "a string", list: "a list", dict: "an object"}


class OpenInference:
    """The handlers; each takes model and version from the path where it is about a model."""

    def __init__(self, engine: Engine, control: Control) -> None:
        self._engine = engine
        self._control = control

    async def server_metadata(self, _: Call) -> Response:
        return _json(
            orjson.dumps({"name": oip.SERVER_NAME, "version": oip.server_version(), "extensions": oip.EXTENSIONS})
        )

    async def live(self, _: Call) -> Response:
        return Response()

    async def ready(self, _: Call) -> Response:
        return Response(status_code=200 if self._engine.ready() else _NOT_READY)

    async def model_ready(self, call: Call) -> Response:
        return Response(status_code=200 if self._engine.ready(*_addressed(call.path)) else _NOT_READY)

    async def model_metadata(self, call: Call) -> Response:
        model, version = _addressed(call.path)
        signature = oip.signature_of(self._engine, model, version)
        return _json(
            orjson.dumps(
                {
                    "name": model,
                    "versions": await oip.available_versions(self._control, model),
                    "platform": oip.PLATFORM,
                    "inputs": [_described(spec) for spec in signature.inputs.values()],
                    "outputs": [_described(spec) for spec in signature.outputs.values()],
                }
            )
        )

    async def infer(self, call: Call) -> Response:
        with self._engine.refusals(call.path["model"]):
            request, request_id = await sized(len(call.body), _request, call)
        result = await self._engine.infer(request)
        return _json(await sized(nbytes(result.outputs), _answer, result, request_id))


def _request(call: Call) -> tuple[InferRequest, str]:
    """The request and the id that its caller gave it."""
    model, version = _addressed(call.path)
    body = parse(call.body)
    if not isinstance(body, dict):
        raise InvalidInput("expected a JSON object with 'inputs', got another JSON value")
    request_id = _field(body, "id", str, "")
    wanted = _field(body, "outputs", list, [])
    request = InferRequest(
        model=model,
        version=version,
        signature=_field(_field(body, "parameters", dict, {}), oip.SIGNATURE_PARAMETER, str, DEFAULT_SIGNATURE),
        inputs=_inputs(_field(body, "inputs", list, [])),
        outputs=tuple(_output_name(output) for output in wanted),
    )
    return request, request_id


def _answer(result: InferResult, request_id: str) -> bytes:
    answer = {
        "model_name": result.model,
        "model_version": str(result.version),
        "outputs": [_output(name, array) for name, array in result.outputs.items()],
    }
    if request_id:
        answer["id"] = request_id
    return dump(answer, result.outputs.values())


def _addressed(path: Mapping[str, str]) -> tuple[str, int | None]:
    return path["model"], oip.version_number(path.get("version", ""))


def _field(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = body.get(name, default)
    if not isinstance(value, kind):
        raise InvalidInput(f"expected {name!r} to be {_WORDS[kind]}, got another JSON value")
    return value


def _inputs(tensors: list[Any]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for tensor in tensors:
        if not isinstance(tensor, dict):
            raise InvalidInput("expected each of 'inputs' to be an object, got another JSON value")
        name = _field(tensor, "name", str, "")
        if name in arrays:
            raise InvalidInput(f"input {name!r}: expected once, got it twice")
        arrays[name] = _array(name, tensor)
    return arrays


def _array(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    datatype = _field(tensor, "datatype", str, "")
    kind = BY_OIP_NAME.get(datatype)
    if kind is None:
        raise InvalidInput(f"input {name!r}: expected a datatype of {', '.join(BY_OIP_NAME)}; got {datatype[:40]!r}")
    shape = _field(tensor, "shape", list, None)
    if any(type(size) is not int for size in shape):
        raise InvalidInput(f"input {name!r}: expected 'shape' to be a list of integers")
    if "data" not in tensor:
        raise InvalidInput(f"input {name!r}: expected its values in 'data', got the keys {sorted(tensor)[:10]}")
    count = element_count(name, shape)
    array = to_array(tensor["data"], TensorSpec(name, kind.name, tuple(shape)))
    if array.size != count or array.shape not in ((count,), tuple(shape)):
        raise InvalidInput(
            f"input {name!r}: expected {count} values, flat or of shape {shape}, got shape {list(array.shape)}"
        )
    return array.reshape(shape)


def _output_name(output: Any) -> str:
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        raise InvalidInput("expected each of 'outputs' to be an object with a 'name', got another JSON value")
    if "classification" in _field(output, "parameters", dict, {}):
        raise InvalidInput(f"output {output['name']!r}: the parameter 'classification' is not supported here")
    return str(output["name"])


def _output(name: str, array: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": data_type_of(name, array).oip_name,
        "shape": array.shape,
        "data": to_jsonable(name, array.reshape(-1)),
    }


def _described(spec: TensorSpec) -> dict[str, Any]:
    kind = BY_NAME.get(spec.dtype)
    shape = [-1] if spec.shape is None else [-1 if axis is None else axis for axis in spec.shape]
    return {"name": spec.name, "datatype": kind.oip_name if kind else None, "shape": shape}


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
