"""Triton's extensions of the Open Inference Protocol over gRPC: streams, configuration, statistics and refusals.

Source: Triton's docs/protocol/ and grpc_service.proto.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2, service_pb2

from serving import oip
from serving.control import Control
from serving.engine import Engine
from serving.entry import Entry
from serving.errors import ServingError, Unimplemented
from serving.grpc.calls import Methods
from serving.grpc.parameters import plain
from serving.grpc.streaming import answered_in_order
from serving.oip.configuration import model_config
from serving.oip.counts import model_stats
from serving.oip.repository import ModelRepository
from serving.oip.wording import in_tritons_words

_FINAL = "triton_final_response"
_REFUSED = {
    "SystemSharedMemory": oip.NO_SHARED_MEMORY,
    "CudaSharedMemory": oip.NO_SHARED_MEMORY,
    "TraceSetting": oip.NO_TRACING,
    "LogSettings": oip.NO_LOGGING,
}
_log = logging.getLogger(__name__)


class TritonExtensions:
    """The methods that GRPCInferenceService has beyond the protocol itself.

    infer: answers one ModelInferRequest; raises ServingError.
    """

    def __init__(
        self,
        engine: Engine,
        control: Control,
        *,
        infer: Callable[[Any, float | None], Awaitable[Any]],
        allow_model_control: bool,
    ) -> None:
        self._engine = engine
        self._control = control
        self._infer = infer
        self._repository = ModelRepository(control, allow_model_control=allow_model_control)
        self._closing = asyncio.Event()
        self.methods: Methods = {
            "ModelStreamInfer": self.model_stream_infer,
            "ModelConfig": in_tritons_words(self.model_config),
            "ModelStatistics": in_tritons_words(self.model_statistics),
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_model_load,
            "RepositoryModelUnload": self.repository_model_unload,
            **_refusals(),
        }

    def close(self) -> None:
        """Ends streams when they have their answers: an open one would hold up the server's drain."""
        self._closing.set()

    async def model_stream_infer(self, requests: AsyncIterator[Any], deadline: float | None) -> AsyncIterator[Any]:
        async def answer(request: Any) -> Any:
            response = service_pb2.ModelStreamInferResponse()
            try:
                with Entry("ModelStreamInfer", "GRPC"):
                    response.infer_response.CopyFrom(await self._infer(request, deadline))
            except ServingError as error:
                response.error_message = error.message
            except Exception:
                _log.exception("a request of a stream failed")
                response.error_message = "internal error"
            response.infer_response.id = request.id
            response.infer_response.parameters[_FINAL].bool_param = True
            return response

        async for response in answered_in_order(requests, answer, self._closing):
            yield response

    async def model_config(self, request: Any, _: float | None) -> Any:
        metadata = self._engine.metadata(request.name, oip.version_number(request.version))
        config = model_config(metadata, self._engine.version_policy(metadata.name))
        response = service_pb2.ModelConfigResponse()
        response.config.CopyFrom(json_format.ParseDict(config, model_config_pb2.ModelConfig()))
        return response

    async def model_statistics(self, request: Any, _: float | None) -> Any:
        counted = await self._control.statistics(request.name, oip.version_number(request.version))
        response = {"model_stats": [model_stats(statistics) for statistics in counted]}
        return json_format.ParseDict(response, service_pb2.ModelStatisticsResponse())

    async def repository_index(self, request: Any, _: float | None) -> Any:
        entries = await self._repository.index(request.repository_name, ready=request.ready)
        return service_pb2.RepositoryIndexResponse(
            models=[service_pb2.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries]
        )

    async def repository_model_load(self, request: Any, deadline: float | None) -> Any:
        parameters = plain(request.parameters)
        await self._repository.load(request.model_name, parameters, deadline, request.repository_name)
        return service_pb2.RepositoryModelLoadResponse()

    async def repository_model_unload(self, request: Any, deadline: float | None) -> Any:
        parameters = plain(request.parameters)
        await self._repository.unload(request.model_name, parameters, deadline, request.repository_name)
        return service_pb2.RepositoryModelUnloadResponse()


def _refusals() -> Methods:
    """A refusal with its reason for each method of what this server does without."""
    declared = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods

    def refusal(reason: str) -> Callable[[Any, float | None], Awaitable[Any]]:
        async def refuse(_request: Any, _: float | None) -> Any:
            raise Unimplemented(reason)

        return refuse

    return {
        method.name: refusal(reason)
        for method in declared
        for prefix, reason in _REFUSED.items()
        if method.name.startswith(prefix)
    }
