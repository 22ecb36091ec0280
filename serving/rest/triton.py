"""Triton's extensions of the Open Inference Protocol over HTTP: configuration and statistics, and what is refused.

Source: Triton's docs/protocol/.
"""

from starlette.responses import Response

from serving.control import Control
from serving.engine import Engine
from serving.errors import Unimplemented
from serving.oip.configuration import model_config
from serving.oip.counts import model_stats
from serving.rest.endpoint import Call
from serving.rest.oip import addressed, json_response


class TritonExtensions:
    """The handlers."""

    def __init__(self, engine: Engine, control: Control) -> None:
        self._engine = engine
        self._control = control

    async def config(self, call: Call) -> Response:
        return json_response(model_config(self._engine.metadata(*addressed(call.path))))

    async def statistics(self, call: Call) -> Response:
        asked = addressed(call.path) if "model" in call.path else ("", None)
        counted = await self._control.statistics(*asked)
        return json_response({"model_stats": [model_stats(statistics) for statistics in counted]})

    async def no_shared_memory(self, _: Call) -> Response:
        raise Unimplemented("the server does not support shared memory: send tensors in the message")

    async def no_tracing(self, _: Call) -> Response:
        raise Unimplemented("the server does not support tracing")

    async def no_logging(self, _: Call) -> Response:
        raise Unimplemented("the server does not support dynamic logging")
