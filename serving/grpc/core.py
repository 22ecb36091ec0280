"""Offers calls through gRPC's own server, for what only that has: TLS, Unix sockets, channel arguments."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from serving.grpc.calls import Calls, Failure, StreamCall, UnaryCall
from serving.tfserving.config_files import TlsConfig

Context = grpc.aio.ServicerContext[Any, Any]

_STATUS = {status.value[0]: status for status in grpc.StatusCode}


class CoreListener:
    """One address of gRPC's server. Starts once, drains once.

    address: as gRPC takes it, "host:port" or "unix:path"; port 0 picks a free one.
    tls: the credentials; None for plain connections. most_calls: beyond, gRPC itself refuses.
    options: gRPC's channel arguments.
    """

    def __init__(
        self,
        calls: Calls,
        address: str,
        *,
        tls: TlsConfig | None,
        most_calls: int,
        options: Sequence[tuple[str, int | str]],
    ) -> None:
        self._calls = calls
        self._address = address
        self._tls = tls
        self._most_calls = most_calls
        self._options = options

    async def start(self) -> int:
        """Binds and serves; returns the port. Raises RuntimeError if it cannot bind."""
        # grpc.aio binds to the running loop when constructed, so not before here.
        self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=self._most_calls)
        self._server.add_generic_rpc_handlers([_Handlers(self._calls)])
        port = self._bind()
        await self._server.start()
        return port

    def _bind(self) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(self._address)
        credentials = grpc.ssl_server_credentials(
            [(self._tls.server_key, self._tls.server_cert)],
            root_certificates=self._tls.custom_ca or None,
            require_client_auth=self._tls.client_verify,
        )
        return self._server.add_secure_port(self._address, credentials)

    async def drain(self, grace: float) -> None:
        """Refuses new calls, answers those accepted, and ends; after `grace` seconds it cancels them."""
        await self._server.stop(grace)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, calls: Calls) -> None:
        self._handlers = {path: _handler(call) for path, call in calls.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._handlers.get(handler_call_details.method)


def _handler(call: UnaryCall | StreamCall) -> "grpc.RpcMethodHandler[Any, Any]":
    # No (de)serialisers: grpc answers UNKNOWN, and prints a stack, where one of those raises.
    if isinstance(call, UnaryCall):

        async def unary(payload: bytes, context: Context) -> bytes:
            try:
                return await call.answer(payload, _deadline(context))
            except Failure as error:
                failure = error
            return await _abort(context, failure)

        return grpc.unary_unary_rpc_method_handler(unary)

    async def stream(payloads: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        try:
            async with aclosing(call.answers(payloads, _deadline(context))) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer
        except Failure as error:
            failure = error
        else:
            return
        await _abort(context, failure)

    # The wire has one form for all streams, whichever way they go.
    return grpc.stream_stream_rpc_method_handler(stream)


def _deadline(context: Context) -> float | None:
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


async def _abort(context: Context, failure: Failure) -> NoReturn:
    await context.abort(_STATUS[failure.code], failure.details)
