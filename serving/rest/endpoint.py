"""One HTTP operation: a bounded body in, a handler's answer or its error out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serving.errors import ServingError
from serving.hang_up import CancelledByHangUp, HungUp
from serving.rest.compression import coding_of, compress, decompressed
from serving.rest.errors import BodyTooSlow, HttpError, error_body, error_response

if TYPE_CHECKING:
    from serving.rest.direct import Pending, Recipient, Shortcut

LARGE_BYTES: Final = 64 * 1024
"""Larger bodies take the long way, on which threads read the largest."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets: the parameters of its path, the body as it was before compression, and the headers.

    headers: by their names in lower case; of one that came twice, the last.
    """

    path: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Response]]
Refusals = Callable[[str], AbstractContextManager[None]]


def _uncounted(_model: str) -> AbstractContextManager[None]:
    return nullcontext()


def failed(error: BaseException, path: str = "") -> Response:
    """What is answered to a request that was refused or failed."""
    if isinstance(error, ServingError):
        return error_response(error)
    _log.error("a request for %s failed", path or "a model", exc_info=error)
    return error_body(500, "internal error")


class Endpoint:
    """An ASGI app around one handler; what the handler raises becomes an answer here.

    max_body_bytes: the largest body, decompressed; a larger one is refused before it is held in memory.
    body_timeout: seconds until a body that comes in pieces must be complete.
    refusals: given the path's model, counts what is raised while the body is read.
    compresses: whether answers may be compressed.
    shortcut: takes requests like others before; it gets none whose bodies are compressed or large.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        max_body_bytes: int,
        body_timeout: float,
        refusals: Refusals = _uncounted,
        compresses: bool = True,
        shortcut: "Shortcut | None" = None,
    ) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._refusals = refusals
        self._compresses = compresses
        self._shortcut = shortcut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        response = await self._answer(
            scope["path"], scope["path_params"], headers, lambda: self._received(receive), CancelledByHangUp(receive)
        )
        if response is not None:
            await response(scope, receive, send)

    async def answer(
        self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        """Answers a request that has come whole; its caller cancels this where it goes."""

        async def whole() -> bytes:
            self._check_size(body)
            return body

        response = await self._answer(path, parameters, headers, whole, nullcontext())
        assert response is not None
        return response

    def begin(
        self,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        timeout: float | None,
        recipient: "Recipient",
    ) -> "Pending | None":
        """Takes a request that has come whole on the short way; None where `answer` has to be asked."""
        if self._shortcut is None or len(body) > min(LARGE_BYTES, self._max_body_bytes):
            return None
        if "content-encoding" in headers:
            return None
        return self._shortcut.begin(Call(parameters, body, headers), timeout, recipient)

    async def _answer(
        self,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        receive: Callable[[], Awaitable[bytes]],
        watched: AbstractContextManager[None],
    ) -> Response | None:
        """The answer, whatever it is; None where nobody is there any more to get it."""
        try:
            with self._refusals(parameters.get("model", "")):
                body = await self._body(headers, receive)
            with watched:
                response = await self._handler(Call(parameters, body, headers))
                if self._compresses and "accept-encoding" in headers:
                    await compress(response, headers["accept-encoding"])
        except HungUp:
            return None
        except Exception as error:
            return failed(error, path)
        return response

    async def _body(self, headers: Mapping[str, str], receive: Callable[[], Awaitable[bytes]]) -> bytes:
        length = headers.get("content-length", "0")
        if int(length) > self._max_body_bytes:
            raise self._too_large(length)
        coding = coding_of(headers.get("content-encoding", ""))
        body = await receive()
        if coding is None:
            return body
        return await decompressed(body, coding, self._max_body_bytes, lambda: self._too_large("more"))

    async def _received(self, receive: Receive) -> bytes:
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
            raise BodyTooSlow(
                f"expected the whole body within {self._body_timeout:g} s, got {len(body)} bytes of it"
            ) from None
        if message["type"] == "http.disconnect":
            raise HungUp
        body += message.get("body", b"")
        self._check_size(body)
        return bytes(body)

    def _check_size(self, body: bytes | bytearray) -> None:
        if len(body) > self._max_body_bytes:
            raise self._too_large("more")

    def _too_large(self, got: str) -> HttpError:
        return HttpError(413, f"expected a body of at most {self._max_body_bytes} bytes, got {got}")
