"""The Open Inference Protocol's ModelInfer messages, with raw contents."""

from collections.abc import Sequence

from tritonclient.grpc import service_pb2

from loadtests.tensors import Inputs

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"

_DATATYPES = {"float32": "FP32", "int32": "INT32", "uint8": "UINT8"}


def request(model: str, inputs: Inputs, outputs: Sequence[str]) -> bytes:
    """A serialised ModelInferRequest."""
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype=_DATATYPES[array.dtype.name], shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    for name in outputs:
        message.outputs.add(name=name)
    content: bytes = message.SerializeToString()
    return content


def missing(response: bytes, outputs: Sequence[str]) -> str | None:
    """What is wrong with a serialised ModelInferResponse, or None."""
    message = service_pb2.ModelInferResponse.FromString(response)
    names = [output.name for output in message.outputs]
    if sorted(names) != sorted(outputs):
        return f"expected the outputs {sorted(outputs)}. Received: {sorted(names)}"
    if len(message.raw_output_contents) != len(names) or not all(message.raw_output_contents):
        return "expected raw contents for every output. Received: some without"
    return None
