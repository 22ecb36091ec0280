"""Turns plain coroutines into gRPC methods: parse the request, call, serialise the answer or the error.

A method takes the parsed request and its deadline (on the clock of time.monotonic(); None for none) and
returns the response, or raises a ServingError. Message classes come from the service's own descriptor.
What comes out takes and gives bytes, so that whatever speaks HTTP/2 can offer it.
"""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message

from serving.entry import Entry
from serving.errors import Code, InvalidInput, ServingError, Unimplemented
from serving.grpc.direct import Call, Direct, Recipient
from serving.grpc.gate import Gate

# Some write their answers themselves.
Payload = bytes | memoryview
Unary = Callable[[Any, float | None], Awaitable[Message | bytes]]
Streaming = Callable[[Any, float | None], AsyncIterator[Message]]
# Gets the requests as they come in; where one does not parse, their iterator raises.
Bidirectional = Callable[[AsyncIterator[Any], float | None], AsyncIterator[Message]]

# Details travel as a header, of which peers take 8 KiB; percent-encoding can triple the length.
_MAX_DETAILS_BYTES = 2000

_log = logging.getLogger(__name__)


def _from_string(request_class: type[Message], payload: Payload) -> Message:
    return request_class.FromString(bytes(payload))


@dataclass(frozen=True, slots=True)
class Counted:
    """A unary method whose requests are counted, so that those that do not even parse must be as well.

    parse: makes of the class of requests and a payload what the method takes; raises DecodeError.
    direct: the short way, for requests like others before.
    """

    method: Unary
    refusals: Callable[[], AbstractContextManager[None]]
    parse: Callable[[type[Message], Payload], Any] = _from_string
    direct: Direct | None = None


Methods = Mapping[str, Unary | Streaming | Bidirectional | Counted]


class Failure(Exception):
    """How a call ends that does not succeed: a status code's number and its details."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class UnaryCall:
    """A method with one request and one answer.

    answer: may keep the payload, which nobody changes; raises Failure and nothing else.
    begin: takes an uncompressed message with its five bytes before it, its deadline, and who gets the answer; gives
    what is to be cancelled when nobody waits for that any more, or None where `answer` has to be asked. failure: how
    a call ends that gets an error.
    """

    path: str
    answer: Callable[[Payload, float | None], Awaitable[bytes]]
    begin: Callable[[bytes, float | None, Recipient], Call | None] | None = None
    failure: Callable[[BaseException], Failure] | None = None


@dataclass(frozen=True, slots=True)
class StreamCall:
    """A method with a stream of requests or of answers. The iterator of answers raises Failure and nothing else."""

    path: str
    answers: Callable[[AsyncIterator[bytes], float | None], AsyncIterator[bytes]]


Calls = Mapping[str, UnaryCall | StreamCall]
"""By path, "/service/method"."""


def calls_of(service: str, methods: Methods, gate: Gate | None = None) -> Calls:
    """One service, by its full protobuf name; the methods it declares and we lack answer UNIMPLEMENTED.

    gate: bounds how many calls are worked on at once; None lets all in.
    """
    bound = gate or Gate(sys.maxsize)
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    calls: dict[str, UnaryCall | StreamCall] = {}
    for declared in descriptor.methods:
        path = f"/{service}/{declared.name}"
        if declared.name not in methods:
            calls[path] = _unimplemented(path, declared, sorted(methods))
        elif declared.client_streaming or declared.server_streaming:
            calls[path] = _stream(path, declared, methods[declared.name], bound)
        else:
            calls[path] = _unary(path, declared, methods[declared.name], bound)
    return calls


def _unary(path: str, declared: MethodDescriptor, method: Any, gate: Gate) -> UnaryCall:
    request_class = message_factory.GetMessageClass(declared.input_type)
    refusals: Callable[[], AbstractContextManager[None]] = nullcontext
    parse = _from_string
    direct = None
    if isinstance(method, Counted):
        method, refusals, parse, direct = method.method, method.refusals, method.parse, method.direct

    async def answer(payload: Payload, deadline: float | None) -> bytes:
        try:
            with Entry(declared.name, "GRPC"):
                with refusals():
                    gate.enter()
                try:
                    with refusals():
                        request = _parsed(request_class, payload, parse)
                    response = await method(request, deadline)
                    serialised: bytes = response if type(response) is bytes else response.SerializeToString()
                finally:
                    gate.leave()
        except Exception as error:
            raise _failure(declared, error) from None
        return serialised

    if direct is None:
        return UnaryCall(path, answer)
    shortcut: Direct = direct

    def begin(message: bytes, deadline: float | None, recipient: Recipient) -> Call | None:
        try:
            return shortcut.begin(message, deadline, gate, recipient)
        except Exception:  # the long way answers whatever comes
            _log.exception("%s was not taken on the short way", declared.full_name)
            return None

    return UnaryCall(path, answer, begin, partial(_failure, declared))


def _stream(path: str, declared: MethodDescriptor, method: Any, gate: Gate) -> StreamCall:
    request_class = message_factory.GetMessageClass(declared.input_type)

    async def answers(payloads: AsyncIterator[bytes], deadline: float | None) -> AsyncIterator[bytes]:
        try:
            with gate:
                asked: Any = (_parsed(request_class, payload, _from_string) async for payload in payloads)
                if not declared.client_streaming:
                    asked = await _only(asked)
                async with aclosing(method(asked, deadline)) as responses:
                    async for response in responses:
                        yield response.SerializeToString()
        except Exception as error:
            raise _failure(declared, error) from None

    return StreamCall(path, answers)


async def _only(requests: AsyncIterator[Any]) -> Any:
    async for request in requests:
        return request
    raise InvalidInput("expected one message, got none")


def _unimplemented(path: str, declared: MethodDescriptor, offered: list[str]) -> StreamCall:
    service = declared.containing_service.full_name

    # A stream both ways, so that it answers at once whatever the caller sends.
    async def refuse(_: AsyncIterator[bytes], __: float | None) -> AsyncIterator[bytes]:
        raise Failure(
            Unimplemented.code.value,
            f"{declared.name} is not implemented by this server; of {service} it offers {', '.join(offered)}",
        )
        yield b""

    return StreamCall(path, refuse)


def _parsed(request_class: type[Message], payload: Payload, parse: Callable[[type[Message], Payload], Any]) -> Any:
    try:
        return parse(request_class, payload)
    except DecodeError:
        name = request_class.DESCRIPTOR.full_name
        raise InvalidInput(f"expected a serialised {name}, got {len(payload)} bytes that do not parse") from None


def _failure(declared: MethodDescriptor, error: BaseException) -> Failure:
    """The one place where errors become gRPC statuses."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ServingError):
        details = error.message.encode()[:_MAX_DETAILS_BYTES].decode(errors="ignore")
        return Failure(error.code.value, details)
    _log.error("%s failed", declared.full_name, exc_info=error)
    return Failure(Code.INTERNAL.value, "internal error")
