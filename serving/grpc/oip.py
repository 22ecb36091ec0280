"""The Open Inference Protocol's GRPCInferenceService."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from serving import oip
from serving.control import Control
from serving.engine import Engine, InferRequest, InferResult
from serving.errors import InvalidInput
from serving.grpc.calls import Counted, Methods
from serving.grpc.direct import Direct
from serving.grpc.infer_answers import InferAnswers
from serving.grpc.large_messages import Parsed, parse_infer
from serving.grpc.oip_tensors import decode_inputs, encode, has_typed_field
from serving.grpc.parameters import plain
from serving.grpc.triton import TritonExtensions
from serving.layouts import Unlikely
from serving.offload import LARGE_BYTES, sized
from serving.oip.classification import top_classes
from serving.oip.parameters import read_options
from serving.oip.wording import in_tritons_words
from serving.signature import TensorSpec

SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class InferenceService:
    """Live, ready and metadata of server and models, ModelInfer, and Triton's extensions."""

    def __init__(
        self, engine: Engine, control: Control, *, ready: Callable[[], bool], allow_model_control: bool = False
    ) -> None:
        self._engine = engine
        self._control = control
        self._ready = ready
        self._answers = InferAnswers()
        self._extensions = TritonExtensions(
            engine, control, infer=in_tritons_words(self.model_infer), allow_model_control=allow_model_control
        )
        self.methods: Methods = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": in_tritons_words(self.model_metadata),
            "ModelInfer": Counted(
                in_tritons_words(self._model_infer),
                engine.refusals,
                parse_infer,
                Direct(engine, "ModelInfer", self._asked, self._answers.write),
            ),
            **self._extensions.methods,
        }

    def close(self) -> None:
        """Lets no stream hold up the server's drain."""
        self._extensions.close()

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
        """The answer as a message, for streams to put into theirs."""
        result, raw, classes = await self._infer(Parsed(request), deadline)
        return await sized(_nbytes(result), _response, request, raw, result, classes)

    async def _model_infer(self, parsed: Parsed, deadline: float | None) -> Any:
        result, raw, classes = await self._infer(parsed, deadline)
        if raw and not any(classes.values()):
            return await sized(_nbytes(result), self._answers.write, result, parsed.message.id)
        return await sized(_nbytes(result), _response, parsed.message, raw, result, classes)

    def _asked(self, payload: bytes) -> tuple[InferRequest, str]:
        """What a ModelInferRequest with raw contents asks for, where nothing but its inputs and outputs matters."""
        request: Any = service_pb2.ModelInferRequest.FromString(payload)
        version = oip.version_number(request.model_version)
        if not request.raw_input_contents or request.parameters:
            raise Unlikely
        if any(tensor.parameters for tensor in (*request.inputs, *request.outputs)):
            raise Unlikely
        if self._engine.servable(request.model_name, version, None) is None:
            raise Unlikely
        inputs = decode_inputs(request.inputs, request.raw_input_contents)
        outputs = tuple(output.name for output in request.outputs)
        return InferRequest(request.model_name, inputs, version, outputs=outputs), request.id

    async def _infer(self, parsed: Parsed, deadline: float | None) -> tuple[InferResult, bool, Mapping[str, int]]:
        """The result, whether the request was raw, and of which outputs it wants classes, and how many."""
        request, raw = parsed.message, parsed.raw or parsed.message.raw_input_contents
        with self._engine.refusals(request.model_name):
            options = read_options(plain(request.parameters))
            for tensor in (*request.inputs, *request.outputs):
                if tensor.parameters:
                    _refuse_shared_memory(tensor)
            classes = {output.name: _classes(output) for output in request.outputs}
            decoded = InferRequest(
                model=request.model_name,
                version=oip.version_number(request.model_version),
                inputs=await _decoded(request, raw, in_turn=options.sequence is not None),
                signature=options.signature,
                outputs=tuple(output.name for output in request.outputs),
                deadline=options.deadline(deadline),
                sequence=options.sequence,
            )
        return await self._engine.infer(decoded), bool(raw), classes


def _nbytes(result: InferResult) -> int:
    return sum([array.nbytes for array in result.outputs.values()])


def _response(request: Any, raw: bool, result: InferResult, classes: Mapping[str, int]) -> Any:
    """The answer, raw where the request was or a type has no typed field.

    classes: for the outputs that are wanted so, how many of their highest values.
    """
    outputs = {
        name: top_classes(name, array, classes[name]) if classes.get(name) else array
        for name, array in result.outputs.items()
    }
    response = service_pb2.ModelInferResponse(model_name=result.model, model_version=str(result.version), id=request.id)
    raw = raw or not all(has_typed_field(*output) for output in outputs.items())
    for name, array in outputs.items():
        encode(name, array, response, raw=raw)
    return response


async def _decoded(request: Any, raw: Sequence[bytes | memoryview], *, in_turn: bool) -> dict[str, np.ndarray]:
    """The inputs; in_turn: without giving way to requests that came later."""
    nbytes = request.ByteSize()
    if in_turn:
        slow = not raw or any(tensor.datatype == "BYTES" for tensor in request.inputs)
        if slow and nbytes > LARGE_BYTES:
            raise InvalidInput(
                f"expected at most {LARGE_BYTES} bytes, or numbers in raw_input_contents, for a step of a sequence; "
                f"got {nbytes} bytes"
            )
        return decode_inputs(request.inputs, raw)
    return await sized(nbytes, decode_inputs, request.inputs, raw)


def _classes(output: Any) -> int:
    """How many classes an output is asked for; 0 for the output itself."""
    if "classification" not in output.parameters:
        return 0
    count = plain(output.parameters)["classification"]
    if type(count) is not int or count < 0:
        raise InvalidInput("invalid value type for 'classification' parameter, expected an integer of 0 or more")
    return count


def _refuse_shared_memory(tensor: Any) -> None:
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput(f"tensor {tensor.name[:60]!r}: the parameter 'shared_memory_region' is not supported here")


def _describe(name: str, spec: TensorSpec, tensors: Any) -> None:
    tensors.add(name=name, datatype=oip.datatype_of(spec) or "", shape=oip.shape_of(spec))
