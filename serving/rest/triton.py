"""Triton's extensions of the Open Inference Protocol over HTTP: configuration, statistics, the repository, refusals.

Source: Triton's docs/protocol/.
"""

from typing import Any

from starlette.responses import Response

from serving import oip
from serving.control import Control
from serving.engine import Engine
from serving.errors import InvalidInput, Unimplemented
from serving.oip.configuration import model_config
from serving.oip.counts import model_stats
from serving.oip.repository import ModelRepository
from serving.rest.arrays import parse
from serving.rest.endpoint import Call
from serving.rest.oip import addressed, json_response
from serving.rest.oip_tensors import field


class TritonExtensions:
    """The handlers."""

    def __init__(self, engine: Engine, control: Control, *, allow_model_control: bool) -> None:
        self._engine = engine
        self._control = control
        self._repository = ModelRepository(control, allow_model_control=allow_model_control)

    async def config(self, call: Call) -> Response:
        metadata = self._engine.metadata(*addressed(call.path))
        return json_response(model_config(metadata, self._engine.version_policy(metadata.name)))

    async def statistics(self, call: Call) -> Response:
        asked = addressed(call.path) if "model" in call.path else ("", None)
        counted = await self._control.statistics(*asked)
        return json_response({"model_stats": [model_stats(statistics) for statistics in counted]})

    async def index(self, call: Call) -> Response:
        ready = field(_object(call.body), "ready", bool, False)
        return json_response(await self._repository.index(ready=ready))

    async def load(self, call: Call) -> Response:
        await self._repository.load(call.path["model"], field(_object(call.body), "parameters", dict, {}))
        return Response(media_type="application/json")

    async def unload(self, call: Call) -> Response:
        await self._repository.unload(call.path["model"], field(_object(call.body), "parameters", dict, {}))
        return Response(media_type="application/json")

    async def no_shared_memory(self, _: Call) -> Response:
        raise Unimplemented(oip.NO_SHARED_MEMORY)

    async def no_tracing(self, _: Call) -> Response:
        raise Unimplemented(oip.NO_TRACING)

    async def no_logging(self, _: Call) -> Response:
        raise Unimplemented(oip.NO_LOGGING)


def _object(body: bytes) -> dict[str, Any]:
    """A body that may be left out."""
    if not body:
        return {}
    value = parse(body)
    if not isinstance(value, dict):
        raise InvalidInput("expected a JSON object, got another JSON value")
    return value
