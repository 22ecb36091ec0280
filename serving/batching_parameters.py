"""TF Serving's per-model batching parameters, `batching_params.pbtxt`, in their text form.

The message is described here because no package ships it: field names and numbers are those of
tensorflow_serving/servables/tensorflow/session_bundle_config.proto, so that any file written for TF Serving parses.
"""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.errors import FailedPrecondition, InvalidInput

_FILE_NAME = "batching_params.pbtxt"
_INT64 = ".google.protobuf.Int64Value"
_WRAPPED = {
    "max_batch_size": (1, _INT64),
    "batch_timeout_micros": (2, _INT64),
    "max_enqueued_batches": (3, _INT64),
    "num_batch_threads": (4, _INT64),
    "thread_pool_name": (5, ".google.protobuf.StringValue"),
    "max_execution_batch_size": (9, _INT64),
    "enable_large_batch_splitting": (8, ".google.protobuf.BoolValue"),
}


class BatchingParameters(BaseModel):
    """What a model asks of the batcher.

    Batches never wait for company here (an idle model runs at once), so batch_timeout_micros and num_batch_threads
    are read and not needed.
    """

    model_config = ConfigDict(frozen=True)

    max_batch_size: int = Field(default=64, ge=1)
    max_enqueued_batches: int = Field(default=64, ge=1)
    allowed_batch_sizes: tuple[int, ...] = ()


def read_batching_parameters(version: Path) -> BatchingParameters | None:
    """The parameters of a version directory; None where it has no such file."""
    file = version / _FILE_NAME
    if not file.is_file():
        return None
    try:
        return parse_batching_parameters(file.read_text(encoding="utf-8"))
    except (InvalidInput, UnicodeError) as error:
        raise FailedPrecondition(f"{_FILE_NAME} is not what it must be: {error}") from error


def parse_batching_parameters(text: str) -> BatchingParameters:
    """Reads the text form; raises InvalidInput."""
    try:
        message = text_format.Parse(text, _message_class()())
        values = {name: getattr(message, name).value for name in _WRAPPED if message.HasField(name)}
        sizes = tuple(message.allowed_batch_sizes)
        if list(sizes) != sorted(set(sizes)) or any(size < 1 for size in sizes):
            raise ValueError(f"allowed_batch_sizes must ascend from 1 or more; received: {list(sizes)}")
        if sizes and sizes[-1] != values.setdefault("max_batch_size", sizes[-1]):
            raise ValueError(
                f"the last of allowed_batch_sizes must be max_batch_size ({values['max_batch_size']}); "
                f"received: {sizes[-1]}"
            )
        known = {name: values[name] for name in BatchingParameters.model_fields if name in values}
        return BatchingParameters(**known, allowed_batch_sizes=sizes)
    except (text_format.ParseError, ValueError, ValidationError) as error:
        raise InvalidInput(f"these are no batching parameters: {error}") from error


@cache
def _message_class() -> Any:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="seqserve/batching_parameters.proto",
        package="seqserve",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    for name, (number, kind) in _WRAPPED.items():
        message.field.add(
            name=name,
            number=number,
            type=field_type.TYPE_MESSAGE,
            type_name=kind,
            label=field_type.LABEL_OPTIONAL,
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=field_type.TYPE_INT64, label=field_type.LABEL_REPEATED)
    message.field.add(
        name="pad_variable_length_inputs",
        number=7,
        type=field_type.TYPE_BOOL,
        label=field_type.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("seqserve.BatchingParameters"))
