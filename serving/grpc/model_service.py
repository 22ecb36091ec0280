"""TF Serving's ModelService."""

from typing import Any

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2 as model_service

from serving.control import Control
from serving.grpc.calls import Methods
from serving.grpc.model_spec import addressed

SERVICE = model_service.DESCRIPTOR.services_by_name["ModelService"].full_name


class ModelService:
    """GetModelStatus."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.methods: Methods = {"GetModelStatus": self.get_model_status}

    async def get_model_status(self, request: Any, _: float | None) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in await addressed(request).status(self._control):
            entry = response.model_version_status.add(version=status.version, state=status.state.value)
            entry.status.error_code = status.code.value
            entry.status.error_message = status.message
        return response
