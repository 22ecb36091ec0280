"""The Open Inference Protocol over HTTP: health, metadata and inference, with tensors in JSON or as bytes after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from serving import oip
from serving.control import Control
from serving.engine import Engine, InferRequest, InferResult
from serving.errors import InvalidInput
from serving.layouts import Unlikely
from serving.offload import sized
from serving.oip.parameters import Options, read_options
from serving.rest.answers import Body
from serving.rest.arrays import nbytes, parse
from serving.rest.direct import Parsed
from serving.rest.endpoint import Call
from serving.rest.errors import HttpError
from serving.rest.oip_tensors import (
    HEADER_LENGTH,
    Wanted,
    decode_inputs,
    encode_answer,
    field,
    raw_input,
    split,
    wanted_outputs,
)
from serving.signature import TensorSpec

# The protocol wants a 4xx for "no", where 503 would be the common choice.
_NOT_READY = 400


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and how its caller wants the answer."""

    request: InferRequest
    id: str
    binary: bool
    outputs: Sequence[Wanted]


class OpenInference:
    """The handlers; each takes model and version from the path where it is about a model."""

    def __init__(self, engine: Engine, control: Control) -> None:
        self._engine = engine
        self._control = control

    async def server_metadata(self, _: Call) -> Response:
        return json_response({"name": oip.SERVER_NAME, "version": oip.server_version(), "extensions": oip.EXTENSIONS})

    async def live(self, _: Call) -> Response:
        return json_response({"live": True})

    async def ready(self, _: Call) -> Response:
        if not self._engine.ready():
            raise HttpError(_NOT_READY, "Server not ready")
        # The specification's own schema of this answer says "live".
        return json_response({"live": True, "ready": True})

    async def model_ready(self, call: Call) -> Response:
        model, version = addressed(call.path)
        if not self._engine.ready(model, version):
            raise HttpError(_NOT_READY, "Model version not ready")
        return json_response({"name": model, "ready": True})

    async def model_metadata(self, call: Call) -> Response:
        model, version = addressed(call.path)
        signature = oip.signature_of(self._engine, model, version)
        return json_response(
            {
                "name": model,
                "versions": await oip.available_versions(self._control, model),
                "platform": oip.PLATFORM,
                "inputs": [_described(spec) for spec in signature.inputs.values()],
                "outputs": [_described(spec) for spec in signature.outputs.values()],
            }
        )

    async def infer(self, call: Call) -> Response:
        with self._engine.refusals(call.path["model"]):
            header = call.headers.get(HEADER_LENGTH.lower())
            if header == "0":
                asked = await self._raw_request(call)
            else:
                asked = await sized(len(call.body), _request, call, header)
        result = await self._engine.infer(asked.request)
        body, length = await sized(nbytes(result.outputs), _answer, result, asked)
        return _response(body, length)

    def asked(self, call: Call) -> tuple[Parsed, object]:
        """What a request with binary inputs asks for, and how it is answered; raises where there is more to say."""
        header = call.headers.get(HEADER_LENGTH.lower())
        if header is None or header == "0":
            raise Unlikely
        asked = _request(call, header)
        request = asked.request
        if request.sequence is not None or request.deadline is not None:
            raise Unlikely
        if self._engine.servable(request.model, request.version, request.label) is None:
            raise Unlikely
        told = (asked.id, asked.binary, asked.outputs)
        return Parsed(request, lambda result: _response(*_answer(result, asked))), told

    async def _raw_request(self, call: Call) -> _Asked:
        """A body that is nothing but the bytes of the model's one input."""
        model, version = addressed(call.path)
        deadline = self._engine.deadline()
        await self._engine.started(deadline)
        inputs = raw_input(oip.signature_of(self._engine, model, version), call.body)
        request = InferRequest(model, inputs, version=version, deadline=deadline)
        return _Asked(request, "", True, ())


def _request(call: Call, header: str | None) -> _Asked:
    model, version = addressed(call.path)
    head, binary = split(call.body, header)
    body = parse(head)
    if not isinstance(body, dict):
        raise InvalidInput("expected a JSON object with 'inputs', got another JSON value")
    options: Options = read_options(field(body, "parameters", dict, {}))
    outputs = wanted_outputs(field(body, "outputs", list, []))
    request = InferRequest(
        model=model,
        version=version,
        signature=options.signature,
        inputs=decode_inputs(field(body, "inputs", list, []), binary),
        outputs=tuple(output.name for output in outputs),
        deadline=options.deadline(None),
        sequence=options.sequence,
    )
    return _Asked(request, field(body, "id", str, ""), options.binary, outputs)


def _response(body: bytes, length: int | None) -> Response:
    """length: of the JSON before what is sent as bytes; None where nothing is."""
    if length is None:
        return Body(body)
    answer = Body(body, b"application/octet-stream")
    answer.raw_headers.append((HEADER_LENGTH.lower().encode(), b"%d" % length))
    return answer


def _answer(result: InferResult, asked: _Asked) -> tuple[bytes, int | None]:
    answer = {"model_name": result.model, "model_version": str(result.version)}
    if asked.id:
        answer["id"] = asked.id
    return encode_answer(answer, result.outputs, asked.outputs, binary=asked.binary)


def addressed(path: Mapping[str, str]) -> tuple[str, int | None]:
    """The model and version that a path is about."""
    return path["model"], oip.version_number(path.get("version", ""))


def json_response(answer: Any) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": oip.datatype_of(spec), "shape": oip.shape_of(spec)}
