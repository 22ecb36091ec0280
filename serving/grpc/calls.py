"""Turns plain coroutines into gRPC methods: parse the request, call, serialise the answer or the error.

A method takes the parsed request and its deadline (on the clock of time.monotonic(); None for none) and
returns the response, or raises a ServingError. Message classes come from the service's own descriptor.
"""

import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message

from serving.entry import Entry
from serving.errors import InvalidInput, ServingError
from serving.grpc.gate import Gate

Unary = Callable[[Any, float | None], Awaitable[Message]]
Streaming = Callable[[Any, float | None], AsyncIterator[Message]]
# Gets the requests as they come in; where one does not parse, their iterator raises.
Bidirectional = Callable[[AsyncIterator[Any], float | None], AsyncIterator[Message]]
Context = grpc.aio.ServicerContext[Any, Any]

# Details travel as a header, of which peers take 8 KiB; percent-encoding can triple the length.
_MAX_DETAILS_BYTES = 2000
_STATUS = {status.value[0]: status for status in grpc.StatusCode}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counted:
    """A unary method whose requests are counted, so that those that do not even parse must be as well."""

    method: Unary
    refusals: Callable[[], AbstractContextManager[None]]


Methods = Mapping[str, Unary | Streaming | Bidirectional | Counted]


def service_handler(service: str, methods: Methods, gate: Gate | None = None) -> grpc.GenericRpcHandler:
    """One service, by its full protobuf name; the methods it declares and we lack answer UNIMPLEMENTED.

    gate: bounds how many calls are worked on at once; None lets all in.
    """
    bound = gate or Gate(sys.maxsize)
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    return grpc.method_handlers_generic_handler(
        service,
        {
            declared.name: _handler(declared, methods[declared.name], bound)
            if declared.name in methods
            else _unimplemented(declared, sorted(methods))
            for declared in descriptor.methods
        },
    )


def _handler(declared: MethodDescriptor, method: Any, gate: Gate) -> "grpc.RpcMethodHandler[Any, Any]":
    request_class = message_factory.GetMessageClass(declared.input_type)
    refusals: Callable[[], AbstractContextManager[None]] = nullcontext
    if isinstance(method, Counted):
        method, refusals = method.method, method.refusals

    async def unary(payload: bytes, context: Context) -> bytes:
        try:
            with Entry(declared.name, "GRPC"):
                with refusals():
                    gate.enter()
                try:
                    with refusals():
                        request = _parse(request_class, payload)
                    response = await method(request, _deadline(context))
                    answer: bytes = response.SerializeToString()
                finally:
                    gate.leave()
        except Exception as error:
            failure = error
        else:
            return answer
        return await _abort(context, declared, failure)

    async def streaming(payload: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            with gate:
                async for response in method(_parse(request_class, payload), _deadline(context)):
                    yield response.SerializeToString()
        except Exception as error:
            failure = error
        else:
            return
        await _abort(context, declared, failure)

    async def bidirectional(payloads: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        requests = (_parse(request_class, payload) async for payload in payloads)
        try:
            with gate:
                async with aclosing(method(requests, _deadline(context))) as responses:
                    async for response in responses:
                        yield response.SerializeToString()
        except Exception as error:
            failure = error
        else:
            return
        await _abort(context, declared, failure)

    # No (de)serialisers: grpc answers UNKNOWN, and prints a stack, where one of those raises.
    if declared.client_streaming:
        return grpc.stream_stream_rpc_method_handler(bidirectional)
    if declared.server_streaming:
        return grpc.unary_stream_rpc_method_handler(streaming)
    return grpc.unary_unary_rpc_method_handler(unary)


def _unimplemented(declared: MethodDescriptor, offered: list[str]) -> "grpc.RpcMethodHandler[Any, Any]":
    service = declared.containing_service.full_name

    async def refuse(_: Any, context: Context) -> None:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{declared.name} is not implemented by this server; of {service} it offers {', '.join(offered)}",
        )

    # Streaming both ways, so that it answers at once whatever the caller sends.
    return grpc.stream_stream_rpc_method_handler(refuse)


def _parse(request_class: type[Message], payload: bytes) -> Message:
    try:
        return request_class.FromString(payload)
    except DecodeError:
        name = request_class.DESCRIPTOR.full_name
        raise InvalidInput(f"expected a serialised {name}, got {len(payload)} bytes that do not parse") from None


def _deadline(context: Context) -> float | None:
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


async def _abort(context: Context, declared: MethodDescriptor, error: Exception) -> NoReturn:
    """The one place where errors become gRPC statuses."""
    if isinstance(error, ServingError):
        details = error.message.encode()[:_MAX_DETAILS_BYTES].decode(errors="ignore")
        await context.abort(_STATUS[error.code.value], details)
    _log.error("%s failed", declared.full_name, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error")
