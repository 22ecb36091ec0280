"""TF Serving's PredictionService."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis import prediction_service_pb2 as prediction_service

from serving.engine import Engine, InferRequest, InferResult
from serving.errors import InvalidInput, NotFound, Unimplemented
from serving.grpc.calls import Counted, Methods
from serving.grpc.direct import Direct
from serving.grpc.large_messages import Parsed, parse_predict
from serving.grpc.model_spec import addressed, describe
from serving.grpc.predict_answers import PredictAnswers
from serving.grpc.tensors import decode_inputs
from serving.layouts import Unlikely
from serving.offload import sized
from serving.quoting import listed, shown
from serving.signature import DEFAULT_SIGNATURE
from serving.tfserving.classification import CLASSIFY, REGRESS, Classifications, Method
from serving.tfserving.examples import serialized_examples
from serving.tfserving.rules import Address, check_outputs, predict_signature

SERVICE = prediction_service.DESCRIPTOR.services_by_name["PredictionService"].full_name
_SIGNATURE_DEF = "signature_def"
_COST = 64  # a class or a value in a message takes as long as so many bytes elsewhere
_METHODS: Mapping[str, Method[Any]] = {method.name: method for method in (CLASSIFY, REGRESS)}


class PredictionService:
    """Predict, Classify, Regress, MultiInference and GetModelMetadata.

    tensor_content: whether Predict answers numbers in `tensor_content`, not in the field of their type.
    """

    def __init__(self, engine: Engine, *, max_message_bytes: int, tensor_content: bool = False) -> None:
        self._engine = engine
        self._max_message_bytes = max_message_bytes
        self._answers = PredictAnswers(tensor_content=tensor_content)
        self.methods: Methods = {
            "Predict": Counted(
                self.predict, engine.refusals, parse_predict, Direct(engine, "Predict", self._asked, self._write)
            ),
            "Classify": Counted(self.classify, engine.refusals),
            "Regress": Counted(self.regress, engine.refusals),
            "MultiInference": Counted(self.multi_inference, engine.refusals),
            "GetModelMetadata": self.get_model_metadata,
        }

    async def predict(self, parsed: Parsed, deadline: float | None) -> bytes:
        request = parsed.message
        with self._engine.refusals(request.model_spec.name):
            address = addressed(request)
            # Contents that lie apart cost nothing to read.
            inputs = await sized(
                request.ByteSize(), decode_inputs, request.inputs, self._max_message_bytes, parsed.contents
            )
            metadata = await address.metadata(self._engine, deadline)
            signature = predict_signature(metadata, request.model_spec.signature_name)
            outputs = tuple(request.output_filter)
            if outputs:
                check_outputs(signature, outputs)
            # Nothing else runs before the engine looks the version up.
            decoded = InferRequest(
                address.model,
                inputs,
                version=metadata.version,
                signature=signature.name,
                outputs=outputs,
                deadline=deadline,
            )
        result = await self._engine.infer(decoded)
        size = sum([array.nbytes for array in result.outputs.values()])
        return await sized(size, self._answers.write, result)

    def _asked(self, payload: bytes) -> tuple[InferRequest, str]:
        """What a PredictRequest asks for of a version that is there."""
        request = parse_predict(predict_pb2.PredictRequest, payload).message
        address, spec = addressed(request), request.model_spec
        outputs = tuple(request.output_filter)
        if len(set(outputs)) < len(outputs):
            raise Unlikely
        if self._engine.servable(address.model, address.version, address.label) is None:
            raise Unlikely
        inputs = decode_inputs(request.inputs, self._max_message_bytes, {})
        signature = spec.signature_name or DEFAULT_SIGNATURE
        return InferRequest(address.model, inputs, address.version, address.label, signature, outputs), ""

    def _write(self, result: InferResult, _: str) -> bytes:
        return self._answers.write(result)

    async def classify(self, request: Any, deadline: float | None) -> Any:
        address, examples = await self._with_examples(request)
        signature = request.model_spec.signature_name
        result, rows = await CLASSIFY.ask(self._engine, address, signature, examples, deadline)
        response = classification_pb2.ClassificationResponse()
        describe(response.model_spec, result)
        await sized(_COST * len(rows) * len(rows[0]), _write_classifications, response.result, rows)
        return response

    async def regress(self, request: Any, deadline: float | None) -> Any:
        address, examples = await self._with_examples(request)
        signature = request.model_spec.signature_name
        result, values = await REGRESS.ask(self._engine, address, signature, examples, deadline)
        response = regression_pb2.RegressionResponse()
        describe(response.model_spec, result)
        await sized(_COST * len(values), _write_regressions, response.result, values)
        return response

    async def _with_examples(self, request: Any) -> tuple[Address, np.ndarray]:
        with self._engine.refusals(request.model_spec.name):
            return addressed(request), await sized(request.ByteSize(), serialized_examples, request.input)

    async def multi_inference(self, request: Any, deadline: float | None) -> Any:
        """Asks several signatures of one version about the same examples; all answer, or none."""
        with self._engine.refusals(request.tasks[0].model_spec.name if request.tasks else ""):
            methods = _methods_of(request.tasks)
            address = addressed(request.tasks[0])
            examples = await sized(request.ByteSize(), serialized_examples, request.input)
            metadata = await address.metadata(self._engine, deadline)
            for task in request.tasks:
                signature = task.model_spec.signature_name or DEFAULT_SIGNATURE
                if signature not in metadata.definitions:
                    raise InvalidInput(f"Requested signature not found in model graph: {shown(signature)}")
        while True:
            asked = [
                method.infer(self._engine, metadata, task.model_spec.signature_name, examples, deadline)
                for method, task in zip(methods, request.tasks, strict=True)
            ]
            try:
                results = await asyncio.gather(*asked)
                break
            except NotFound:
                latest = await address.metadata(self._engine, deadline)
                if latest.version == metadata.version:
                    raise
                metadata = latest  # it took over before all were asked
        response = inference_pb2.MultiInferenceResponse()
        for method, result in zip(methods, results, strict=True):
            answer = response.results.add()
            describe(answer.model_spec, result)
            if method is CLASSIFY:
                _write_classifications(answer.classification_result, CLASSIFY.results(result.outputs, len(examples)))
            else:
                _write_regressions(answer.regression_result, REGRESS.results(result.outputs, len(examples)))
        return response

    async def get_model_metadata(self, request: Any, deadline: float | None) -> Any:
        address = addressed(request)
        if not request.metadata_field:
            raise InvalidInput("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != _SIGNATURE_DEF:
                raise InvalidInput(f"Metadata field {shown(name)} is not supported; expected: {_SIGNATURE_DEF}")
        metadata = await address.metadata(self._engine, deadline)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in metadata.definitions.items():
            signatures.signature_def[name].MergeFromString(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = metadata.name
        response.model_spec.version.value = metadata.version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response


def _methods_of(tasks: Sequence[Any]) -> list[Method[Any]]:
    """How each task is asked; raises where they cannot be asked together."""
    if not tasks:
        raise InvalidInput("ModelSpec has no name specified. Expected at least one task; received: none")
    signatures = set()
    for task in tasks:
        if not task.model_spec.name:
            raise InvalidInput("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise InvalidInput("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        signature = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if signature in signatures:
            raise InvalidInput(f"Duplicate evaluation of signature: {shown(signature)}")
        signatures.add(signature)
        if task.method_name not in _METHODS:
            raise Unimplemented(
                f"Unsupported signature method_name: {shown(task.method_name)}; expected one of {listed(_METHODS)}"
            )
    return [_METHODS[task.method_name] for task in tasks]


def _write_classifications(result: Any, rows: Classifications) -> None:
    for row in rows:
        classes = result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)


def _write_regressions(result: Any, values: np.ndarray) -> None:
    for value in values.tolist():
        result.regressions.add(value=value)
