"""TF Serving's PredictionService and ModelService."""

from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis import model_service_pb2 as model_service
from tensorflow_serving.apis import prediction_service_pb2 as prediction_service

from serving.control import Control
from serving.datatypes import BY_NAME
from serving.engine import Engine, InferRequest
from serving.errors import InvalidInput
from serving.grpc.calls import Counted, Methods
from serving.grpc.tensors import decode_inputs, encode
from serving.offload import sized
from serving.signature import DEFAULT_SIGNATURE, Signature, TensorSpec

PREDICTION_SERVICE = prediction_service.DESCRIPTOR.services_by_name["PredictionService"].full_name
MODEL_SERVICE = model_service.DESCRIPTOR.services_by_name["ModelService"].full_name


class PredictionService:
    """Predict and GetModelMetadata."""

    def __init__(self, engine: Engine, *, max_message_bytes: int) -> None:
        self._engine = engine
        self._max_message_bytes = max_message_bytes
        self.methods: Methods = {
            "Predict": Counted(self.predict, engine.refusals),
            "GetModelMetadata": self.get_model_metadata,
        }

    async def predict(self, request: Any, deadline: float | None) -> Any:
        with self._engine.refusals(request.model_spec.name):
            model, version, label = _addressed(request.model_spec)
            decoded = InferRequest(
                model=model,
                version=version,
                label=label,
                signature=request.model_spec.signature_name or DEFAULT_SIGNATURE,
                inputs=await sized(request.ByteSize(), decode_inputs, request.inputs, self._max_message_bytes),
                outputs=tuple(request.output_filter),
                deadline=deadline,
            )
        result = await self._engine.infer(decoded)
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, result.model, result.version)
        response.model_spec.signature_name = result.signature
        for name, array in result.outputs.items():
            encode(name, array, response.outputs[name])
        return response

    async def get_model_metadata(self, request: Any, _: float | None) -> Any:
        model, version, label = _addressed(request.model_spec)
        if set(request.metadata_field) != {"signature_def"}:
            raise InvalidInput(f"expected metadata_field to be ['signature_def'], got {list(request.metadata_field)}")
        metadata = self._engine.metadata(model, version, label)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in metadata.signatures.items():
            _describe_signature(signatures.signature_def[name], signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _describe(response.model_spec, metadata.name, metadata.version)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService:
    """GetModelStatus."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.methods = {"GetModelStatus": self.get_model_status}

    async def get_model_status(self, request: Any, _: float | None) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in await self._control.status(*_addressed(request.model_spec)):
            entry = response.model_version_status.add(version=status.version, state=status.state.value)
            entry.status.error_code = status.code.value
            entry.status.error_message = status.message
        return response


def _addressed(spec: Any) -> tuple[str, int | None, str | None]:
    """Model, version and label of a ModelSpec."""
    if not spec.name:
        raise InvalidInput("expected a model_spec with a name, got none")
    choice = spec.WhichOneof("version_choice")
    return (
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _describe(spec: Any, model: str, version: int) -> None:
    spec.name = model
    spec.version.value = version


def _describe_signature(definition: Any, signature: Signature) -> None:
    definition.method_name = signature.method_name
    for alias, spec in signature.inputs.items():
        _describe_tensor(definition.inputs[alias], spec)
    for alias, spec in signature.outputs.items():
        _describe_tensor(definition.outputs[alias], spec)


def _describe_tensor(info: Any, spec: TensorSpec) -> None:
    info.name = spec.name
    if spec.dtype in BY_NAME:
        info.dtype = BY_NAME[spec.dtype].tf_number
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for axis in spec.shape:
        info.tensor_shape.dim.add(size=-1 if axis is None else axis)
