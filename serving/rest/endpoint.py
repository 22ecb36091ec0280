"""One HTTP operation: a bounded body in, a handler's answer or its error out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serving.errors import ServingError
from serving.rest.errors import HttpError, error_body, error_response

# Answers that come sooner never pay for watching their caller.
_WATCH_AFTER_SECONDS = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets: the parameters of its path, and the body."""

    path: Mapping[str, str]
    body: bytes


Handler = Callable[[Call], Awaitable[Response]]


class Endpoint:
    """An ASGI app around one handler; what the handler raises becomes an answer here.

    max_body_bytes: the largest body; a larger one is refused before it is held in memory.
    body_timeout: seconds until a body that comes in pieces must be complete.
    """

    def __init__(self, handler: Handler, *, max_body_bytes: int, body_timeout: float) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(scope, receive)
            with _CancelledByHangUp(receive):
                response = await self._handler(Call(scope["path_params"], body))
        except (ServingError, HttpError) as error:
            response = error_response(error)
        except _HungUp:
            return
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            response = error_body(500, "internal error")
        await response(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._max_body_bytes:
                raise self._too_large(f"{int(value)}")
            if name == b"content-encoding" and value != b"identity":
                raise HttpError(415, f"expected a body without content-encoding, got {value.decode('latin-1')}")
        message: Message = await receive()
        if not message.get("more_body") and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            self._check_size(body)
            return body
        return await self._rest_of_body(message, receive)

    async def _rest_of_body(self, message: Message, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                while message.get("more_body"):
                    body += message.get("body", b"")
                    self._check_size(body)
                    message = await receive()
        except TimeoutError:
            raise HttpError(
                408, f"expected the whole body within {self._body_timeout:g} s, got {len(body)} bytes of it"
            ) from None
        if message["type"] == "http.disconnect":
            raise _HungUp
        body += message.get("body", b"")
        self._check_size(body)
        return bytes(body)

    def _check_size(self, body: bytes | bytearray) -> None:
        if len(body) > self._max_body_bytes:
            raise self._too_large("more")

    def _too_large(self, got: str) -> HttpError:
        return HttpError(413, f"expected a body of at most {self._max_body_bytes} bytes, got {got}")


class _HungUp(Exception):
    """The caller has gone; nobody waits for an answer."""


class _CancelledByHangUp:
    """Cancels the block when the caller hangs up, and then raises _HungUp from it.

    The request's body must have been read: what `receive` has to say after it is that the caller has gone.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._hung_up = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._hung_up:
            self._task.uncancel()
            raise _HungUp from None

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._hung_up = True
        self._task.cancel()
