"""Reads requests whose tensors are large without copying these: what protobuf parses is the rest of the message.

protobuf's own parser copies every field of bytes twice, once into the message and once out of it. A payload of a
megabyte is looked through here for the two fields that hold such bytes, which stay where they are; anything that is
laid out in another way than clients do is left to the parser as a whole.
Source: the encoding of protobuf; predict.proto, tensor.proto and grpc_service.proto for the numbers of fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message

from serving.grpc.tensors import varint

LARGE_BYTES: Final = 64 * 1024
"""From here on looking through a message costs less than copying it."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PREDICT_INPUTS, _ENTRY_KEY, _ENTRY_VALUE, _TENSOR_CONTENT = 2, 1, 2, 4
_RAW_INPUT_CONTENTS = 7


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message, and what of it was left where it came in.

    contents: `tensor_content` by input, of a PredictRequest. raw: `raw_input_contents`, of a ModelInferRequest.
    """

    message: Any
    contents: Mapping[str, memoryview] = field(default_factory=dict)
    raw: Sequence[memoryview] = ()


# Who sends large contents sends few fields; who sends many is read faster by the parser.
_MOST_FIELDS = 256
_DTYPE, _STRING = 1, 7


class _Unusual(Exception):
    """A message that only the parser can tell the meaning of."""


def parse_predict(request_class: type[Message], payload: bytes | memoryview) -> Parsed:
    """A PredictRequest; raises DecodeError."""
    if len(payload) < LARGE_BYTES:
        return Parsed(request_class.FromString(bytes(payload)))
    contents: dict[str, memoryview] = {}
    try:
        rest = b"".join(_Reader().predict_without(memoryview(payload), contents))
    except (_Unusual, IndexError, UnicodeDecodeError):
        return Parsed(request_class.FromString(bytes(payload)))
    return Parsed(request_class.FromString(rest), contents)


def parse_infer(request_class: type[Message], payload: bytes | memoryview) -> Parsed:
    """A ModelInferRequest; raises DecodeError."""
    if len(payload) < LARGE_BYTES:
        return Parsed(request_class.FromString(bytes(payload)))
    view, raw, rest = memoryview(payload), [], []
    try:
        for number, kind, start, value, end in _Reader().fields(view):
            if number == _RAW_INPUT_CONTENTS and kind == _BYTES:
                raw.append(view[value:end])
            else:
                rest.append(view[start:end])
    except (_Unusual, IndexError):
        return Parsed(request_class.FromString(bytes(payload)))
    message: Any = request_class.FromString(b"".join(rest))
    if any(tensor.datatype == "BYTES" for tensor in message.inputs):  # strings are copied one by one anyway
        return Parsed(request_class.FromString(bytes(payload)))
    return Parsed(message, raw=raw)


class _Reader:
    """Looks through one message, as long as it has few fields."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def predict_without(self, view: memoryview, contents: dict[str, memoryview]) -> Iterator[bytes | memoryview]:
        """The pieces of a PredictRequest without its large contents, which go into `contents`."""
        names = set[str]()
        for number, kind, start, value, end in self.fields(view):
            if number != _PREDICT_INPUTS or kind != _BYTES:
                yield view[start:end]
                continue
            name, entry, content = self._entry_without(view[value:end])
            if name in names:
                raise _Unusual  # the last one counts
            names.add(name)
            if content is not None:
                contents[name] = content
            yield _with_length(_PREDICT_INPUTS, entry)

    def _entry_without(self, view: memoryview) -> tuple[str, bytes, memoryview | None]:
        """An input's name, its entry without its content, and this."""
        name, tensor, content = "", b"", None
        seen = set[int]()
        for number, kind, _, value, end in self.fields(view):
            if number in seen or kind != _BYTES or number not in (_ENTRY_KEY, _ENTRY_VALUE):
                raise _Unusual
            seen.add(number)
            if number == _ENTRY_KEY:
                name = str(view[value:end], "utf-8")
            else:
                tensor, content = self._tensor_without(view[value:end])
        return name, _with_length(_ENTRY_KEY, name.encode()) + _with_length(_ENTRY_VALUE, tensor), content

    def _tensor_without(self, view: memoryview) -> tuple[bytes, memoryview | None]:
        pieces, content, times = [], None, 0
        for number, kind, start, value, end in self.fields(view):
            times += number == _TENSOR_CONTENT
            if number == _TENSOR_CONTENT and kind == _BYTES and end - value >= LARGE_BYTES:
                content = view[value:end]
            else:
                pieces.append(view[start:end])
                if number == _DTYPE and view[value] == _STRING:
                    raise _Unusual  # strings are copied one by one anyway
        if times > 1:
            raise _Unusual  # the last one counts
        return b"".join(pieces), content

    def fields(self, view: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
        """Of each field of a message: its number and kind, and where it, its value and what follows it begin."""
        at, size = 0, len(view)
        while at < size:
            self._left -= 1
            if self._left < 0:
                raise _Unusual
            start = at
            tag, at = _number(view, at)
            kind = tag & 7
            if kind == _VARINT:
                value = at
                _, end = _number(view, at)
            elif kind == _BYTES:
                length, value = _number(view, at)
                end = value + length
            elif kind in (_FIXED64, _FIXED32):
                value = at
                end = at + (8 if kind == _FIXED64 else 4)
            else:
                raise _Unusual
            if end > size:
                raise _Unusual
            yield tag >> 3, kind, start, value, end
            at = end


def _with_length(number: int, value: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def _number(view: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
    raise _Unusual
