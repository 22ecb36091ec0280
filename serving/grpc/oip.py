"""The Open Inference Protocol's GRPCInferenceService."""

from collections.abc import Callable
from typing import Any

from tritonclient.grpc import service_pb2

from serving import oip
from serving.control import Control
from serving.datatypes import BY_NAME
from serving.engine import Engine, InferRequest
from serving.errors import InvalidInput
from serving.grpc.calls import Counted, Methods
from serving.grpc.oip_tensors import decode_inputs, encode, has_typed_field
from serving.offload import sized
from serving.signature import DEFAULT_SIGNATURE, TensorSpec

SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class InferenceService:
    """Live, ready and metadata of server and models, and ModelInfer."""

    def __init__(self, engine: Engine, control: Control, *, ready: Callable[[], bool]) -> None:
        self._engine = engine
        self._control = control
        self._ready = ready
        self.methods: Methods = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": Counted(self.model_infer, engine.refusals),
        }

    async def server_live(self, _request: Any, _: float | None) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def server_ready(self, _request: Any, _: float | None) -> Any:
        return service_pb2.ServerReadyResponse(ready=self._ready())

    async def model_ready(self, request: Any, _: float | None) -> Any:
        ready = self._engine.ready(request.name, oip.version_number(request.version))
        return service_pb2.ModelReadyResponse(ready=ready)

    async def server_metadata(self, _request: Any, _: float | None) -> Any:
        return service_pb2.ServerMetadataResponse(
            name=oip.SERVER_NAME, version=oip.server_version(), extensions=oip.EXTENSIONS
        )

    async def model_metadata(self, request: Any, _: float | None) -> Any:
        signature = oip.signature_of(self._engine, request.name, oip.version_number(request.version))
        response = service_pb2.ModelMetadataResponse(
            name=request.name,
            versions=await oip.available_versions(self._control, request.name),
            platform=oip.PLATFORM,
        )
        for name, spec in signature.inputs.items():
            _describe(name, spec, response.inputs)
        for name, spec in signature.outputs.items():
            _describe(name, spec, response.outputs)
        return response

    async def model_infer(self, request: Any, deadline: float | None) -> Any:
        with self._engine.refusals(request.model_name):
            for tensor in (*request.inputs, *request.outputs):
                _refuse_parameters(tensor)
            decoded = InferRequest(
                model=request.model_name,
                version=oip.version_number(request.model_version),
                inputs=await sized(request.ByteSize(), decode_inputs, request.inputs, request.raw_input_contents),
                signature=_signature_name(request),
                outputs=tuple(output.name for output in request.outputs),
                deadline=deadline,
            )
        result = await self._engine.infer(decoded)
        response = service_pb2.ModelInferResponse(
            model_name=result.model, model_version=str(result.version), id=request.id
        )
        raw = bool(request.raw_input_contents) or not all(has_typed_field(*output) for output in result.outputs.items())
        for name, array in result.outputs.items():
            encode(name, array, response, raw=raw)
        return response


def _signature_name(request: Any) -> str:
    parameter = request.parameters.get(oip.SIGNATURE_PARAMETER)
    return DEFAULT_SIGNATURE if parameter is None else str(parameter.string_param)


def _refuse_parameters(tensor: Any) -> None:
    """Parameters that would change the answer must not be passed over in silence."""
    for unsupported in ("shared_memory_region", "classification"):
        if unsupported in tensor.parameters:
            raise InvalidInput(f"tensor {tensor.name!r}: the parameter {unsupported!r} is not supported here")


def _describe(name: str, spec: TensorSpec, tensors: Any) -> None:
    kind = BY_NAME.get(spec.dtype)
    shape = [-1] if spec.shape is None else [-1 if axis is None else axis for axis in spec.shape]
    tensors.add(name=name, datatype=(kind and kind.oip_name) or "", shape=shape)
