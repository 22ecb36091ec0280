"""TF Serving's batching parameters in their text form: a model's own `batching_params.pbtxt`, or a server-wide file.

The message is described here because no package ships it: field names and numbers are those of
tensorflow_serving/servables/tensorflow/session_bundle_config.proto, so that any file written for TF Serving parses.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from pydantic import BaseModel, ConfigDict, Field

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


# Their least values in TF Serving.
_LEAST = {
    "max_batch_size": 1,
    "max_execution_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 0,
    "num_batch_threads": 1,
}
_MOST_SIZES = 256
_LARGEST_SIZE = 65536


class BatchingParameters(BaseModel):
    """What a model asks of the batcher.

    max_batch_size: rows that run together at most; a larger request is run in slices, whether or not
    enable_large_batch_splitting allows it. max_execution_batch_size, where splitting is enabled, says the same.
    Batches never wait for company here (an idle model runs at once), so batch_timeout_micros and num_batch_threads
    are read and not needed. Nor is pad_variable_length_inputs: requests of other lengths run apart, for padding with
    whatever value comes first changes answers; a model that may be padded says so in its inputs.json.
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
    """Reads the text form; raises InvalidInput where TF Serving would not take it, or no memory would hold it."""
    try:
        message = text_format.Parse(text, _message_class()())
    except text_format.ParseError as error:
        raise InvalidInput(f"these are no batching parameters: {error}") from error
    values = {name: getattr(message, name).value for name in _WRAPPED if message.HasField(name)}
    for name, least in _LEAST.items():
        if values.get(name, least) < least:
            raise InvalidInput(f"{name} must be {least} or more; received: {values[name]}")
    sizes = tuple(message.allowed_batch_sizes)
    name = "max_execution_batch_size" if values.get("enable_large_batch_splitting") else "max_batch_size"
    given = values.get(name, values.get("max_batch_size"))
    if "max_batch_size" in values and given > values["max_batch_size"]:
        raise InvalidInput(f"{name} must not be above max_batch_size ({values['max_batch_size']}); received: {given}")
    _check_sizes(sizes, name, given)
    largest = given or (sizes[-1] if sizes else BatchingParameters.model_fields["max_batch_size"].default)
    queued = values.get("max_enqueued_batches", BatchingParameters.model_fields["max_enqueued_batches"].default)
    return BatchingParameters(max_batch_size=largest, max_enqueued_batches=max(1, queued), allowed_batch_sizes=sizes)


def _check_sizes(sizes: Sequence[int], name: str, largest: int | None) -> None:
    """Every size is compiled for and warmed up, so that there can be neither too many nor too large ones."""
    if len(sizes) > _MOST_SIZES:
        raise InvalidInput(f"there may be at most {_MOST_SIZES} allowed_batch_sizes; received: {len(sizes)}")
    if list(sizes) != sorted(set(sizes)) or any(size < 1 for size in sizes):
        raise InvalidInput(f"allowed_batch_sizes must ascend from 1 or more; received: {list(sizes)}")
    if not sizes:
        return
    if sizes[-1] > _LARGEST_SIZE:
        raise InvalidInput(f"allowed_batch_sizes must be at most {_LARGEST_SIZE}; received: {sizes[-1]}")
    if largest not in (None, sizes[-1]):
        raise InvalidInput(
            f"Last entry in allowed_batch_sizes must match {name}; last entry was {sizes[-1]}; expected {largest}"
        )


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
