"""TF Serving's Predict messages, declared here as far as load needs them.

TF Serving's own stubs import TensorFlow: seconds and hundreds of MiB for each load generator. Names and numbers are
those of tensorflow_serving/apis/predict.proto and tensorflow/core/framework/tensor.proto; a test compares the bytes.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from loadtests.tensors import Inputs

PREDICT = "/tensorflow.serving.PredictionService/Predict"

_Field = descriptor_pb2.FieldDescriptorProto
_DTYPES = {"float32": 1, "int32": 3, "uint8": 4}


def _message(file: Any, name: str, fields: Sequence[tuple[int, str, str]]) -> Any:
    """Declares a message; a field is (number, name, type), where "*" repeats and a capital is a message."""
    message = file.message_type.add(name=name)
    for number, field_name, kind in fields:
        label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
        kind = kind.removeprefix("*")
        field = message.field.add(name=field_name, number=number, label=label)
        if kind[0].isupper():
            field.type, field.type_name = _Field.TYPE_MESSAGE, f".loadtests.{kind}"
        else:
            field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    return message


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="loadtests.proto", package="loadtests", syntax="proto3")
    _message(file, "Dim", [(1, "size", "int64")])
    _message(file, "Shape", [(2, "dim", "*Dim")])
    _message(
        file,
        "Tensor",
        [
            (1, "dtype", "int32"),
            (2, "tensor_shape", "Shape"),
            (4, "tensor_content", "bytes"),
            (5, "float_val", "*float"),
            (8, "string_val", "*bytes"),
        ],
    )
    _message(file, "ModelSpec", [(1, "name", "string"), (3, "signature_name", "string")])
    request = _message(
        file,
        "PredictRequest",
        [(1, "model_spec", "ModelSpec"), (2, "inputs", "*PredictRequest.Entry"), (3, "output_filter", "*string")],
    )
    response = _message(
        file, "PredictResponse", [(1, "outputs", "*PredictResponse.Entry"), (2, "model_spec", "ModelSpec")]
    )
    for message in (request, response):
        entry = message.nested_type.add(name="Entry")
        entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
        entry.field.add(
            name="value",
            number=2,
            type=_Field.TYPE_MESSAGE,
            type_name=".loadtests.Tensor",
            label=_Field.LABEL_OPTIONAL,
        )
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_declare())
PredictRequest, PredictResponse = (
    message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"loadtests.{name}"))
    for name in ("PredictRequest", "PredictResponse")
)


def request(model: str, inputs: Inputs, outputs: Sequence[str]) -> bytes:
    """A serialised PredictRequest."""
    message = PredictRequest(output_filter=outputs)
    message.model_spec.name = model
    message.model_spec.signature_name = "serving_default"
    for name, array in inputs.items():
        tensor = message.inputs.add(key=name).value
        tensor.dtype = _DTYPES[array.dtype.name]
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = array.tobytes()
    return message.SerializeToString(deterministic=True)


def missing(response: bytes, outputs: Sequence[str]) -> str | None:
    """What is wrong with a serialised PredictResponse, or None."""
    tensors = {entry.key: entry.value for entry in PredictResponse.FromString(response).outputs}
    for name in outputs:
        if name not in tensors:
            return f"expected the output {name!r}. Received: {sorted(tensors)}"
        if not (tensors[name].tensor_content or tensors[name].float_val or tensors[name].string_val):
            return f"expected values in the output {name!r}. Received: none"
    return None
