"""TF Serving's REST API: predict, classify and regress, status and metadata."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from serving.control import Control
from serving.engine import Engine, InferRequest, InferResult
from serving.errors import InvalidInput
from serving.layouts import Unlikely
from serving.offload import sized
from serving.quoting import listed, shown
from serving.rest import predict_json
from serving.rest.answers import Body
from serving.rest.arrays import dump, nbytes, parse
from serving.rest.direct import Parsed
from serving.rest.endpoint import Call
from serving.rest.example_json import to_examples
from serving.rest.metadata_json import described
from serving.servables.metadata import ModelMetadata
from serving.signature import Signature
from serving.tfserving.classification import CLASSIFY, REGRESS
from serving.tfserving.rules import Address, check_served

_MAX_VERSION_DIGITS = 18


class TensorFlowServing:
    """The handlers; each takes the model from the path, with a version, a label or neither."""

    def __init__(self, engine: Engine, control: Control) -> None:
        self._engine = engine
        self._control = control

    async def predict(self, call: Call) -> Response:
        with self._engine.refusals(call.path["model"]):
            request, rows = await self._request(call)
        result = await self._engine.infer(request)
        return _json(await sized(nbytes(result.outputs), predict_json.answer, result.outputs, rows=rows))

    def asked(self, call: Call) -> Parsed:
        """What a request to predict asks for, and how it is answered; raises where there is more to say."""
        body = orjson.loads(call.body)
        if not isinstance(body, dict):
            raise Unlikely
        address = _addressed(call.path)
        name = predict_json.signature_name(body)
        servable = self._engine.servable(address.model, address.version, address.label)
        if servable is None or name not in servable.metadata.signatures:
            raise Unlikely
        write = _rows if predict_json.is_row_format(body) else _columns
        inputs = predict_json.to_inputs(body, servable.metadata.signatures[name])
        return Parsed(InferRequest(address.model, inputs, address.version, address.label, name), write)

    async def _request(self, call: Call) -> tuple[InferRequest, bool]:
        """The request, whose JSON only a signature gives types; and whether it is in row format."""
        address = _addressed(call.path)
        deadline = self._engine.deadline()
        body = predict_json.checked(await sized(len(call.body), parse, call.body))
        name = predict_json.signature_name(body)
        metadata = await address.metadata(self._engine, deadline)
        while True:
            signature = _signature(metadata, name)
            rows = predict_json.is_row_format(body)
            inputs = await sized(len(call.body), predict_json.to_inputs, body, signature)
            latest = await address.metadata(self._engine, deadline)
            if latest.version == metadata.version:
                break
            metadata = latest  # it took over while a thread was at work, and may take other inputs
        # Nothing else runs before the engine looks the version up.
        request = InferRequest(address.model, inputs, version=metadata.version, signature=name, deadline=deadline)
        return request, rows

    async def classify(self, call: Call) -> Response:
        address, signature, examples, deadline = await self._with_examples(call)
        result, rows = await CLASSIFY.ask(self._engine, address, signature, examples, deadline)
        scores = (array for array in result.outputs.values() if array.dtype.kind == "f")
        return _json(await sized(nbytes(result.outputs), dump, {"results": rows}, scores))

    async def regress(self, call: Call) -> Response:
        address, signature, examples, deadline = await self._with_examples(call)
        _, values = await REGRESS.ask(self._engine, address, signature, examples, deadline)
        return _json(await sized(values.nbytes, dump, {"results": values}, (values,)))

    async def _with_examples(self, call: Call) -> tuple[Address, str, np.ndarray, float]:
        with self._engine.refusals(call.path["model"]):
            body = predict_json.checked(await sized(len(call.body), parse, call.body))
            signature = predict_json.signature_name(body)
            examples = await sized(len(call.body), to_examples, body)
            return _addressed(call.path), signature, examples, self._engine.deadline()

    async def status(self, call: Call) -> Response:
        return _json_of(
            {
                "model_version_status": [
                    {
                        "version": str(status.version),
                        "state": status.state.name,
                        "status": {"error_code": status.code.name, "error_message": status.message},
                    }
                    for status in await _addressed(call.path).status(self._control)
                ]
            }
        )

    async def metadata(self, call: Call) -> Response:
        metadata = await _addressed(call.path).metadata(self._engine, None)
        return _json_of(
            {
                "model_spec": {"name": metadata.name, "signature_name": "", "version": str(metadata.version)},
                "metadata": {"signature_def": described(metadata.definitions)},
            }
        )

    async def no_model(self, _: Call) -> Response:
        raise InvalidInput("Missing model name in request.")


def _addressed(path: Mapping[str, str]) -> Address:
    version = path.get("version")
    if version is None:
        return Address(path["model"], label=path.get("label"))
    if len(version) > _MAX_VERSION_DIGITS and int(version[:40]) >= 2**63:
        raise InvalidInput(f"Failed to convert version: {shown(version)} to numeric.")
    return Address(path["model"], int(version))


def _signature(metadata: ModelMetadata, name: str) -> Signature:
    check_served(metadata, name)
    if name not in metadata.signatures:
        raise InvalidInput(
            f'Serving signature name: "{shown(name)}" not found in signature def; '
            f"expected one of {listed(metadata.signatures)}"
        )
    return metadata.signatures[name]


def _rows(result: InferResult) -> Response:
    return _json(predict_json.answer(result.outputs, rows=True))


def _columns(result: InferResult) -> Response:
    return _json(predict_json.answer(result.outputs, rows=False))


def _json_of(answer: Any) -> Response:
    return _json(orjson.dumps(answer))


def _json(body: bytes) -> Response:
    return Body(body)
