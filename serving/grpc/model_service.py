"""TF Serving's ModelService."""

import time
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.apis import model_service_pb2 as model_service

from serving.control import Control
from serving.errors import Code
from serving.grpc.calls import Methods
from serving.grpc.model_spec import addressed
from serving.repository.model_config import from_message

SERVICE = model_service.DESCRIPTOR.services_by_name["ModelService"].full_name
# For callers who set no deadline of their own: loading may take minutes.
_RELOAD_SECONDS = 1800.0


class ModelService:
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.methods: Methods = {
            "GetModelStatus": self.get_model_status,
            "HandleReloadConfigRequest": self.reload_config,
        }

    async def get_model_status(self, request: Any, _: float | None) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in await addressed(request).status(self._control):
            entry = response.model_version_status.add(version=status.version, state=status.state.value)
            entry.status.error_code = status.code.value
            entry.status.error_message = status.message
        return response

    async def reload_config(self, request: Any, deadline: float | None) -> Any:
        """Serves other models; answers when each is available, or has failed."""
        until = time.monotonic() + _RELOAD_SECONDS if deadline is None else deadline
        await self._control.reload(from_message(request.config), until)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = Code.OK.value
        return response
