"""Answers an inference whose request came whole without the detour through ASGI; uvicorn does all else.

Nearly all requests of a busy server are alike: the same head again and again, with a body that is there when it is.
Such a one is known by the bytes of its head. What is not framed so plainly goes to uvicorn, byte by byte as it came.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from starlette.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.rest.direct import Pending, Recipient


@dataclass(frozen=True, slots=True)
class Direct:
    """Answers requests by their headers (names in lower case) and their bodies.

    answer: whatever happens; not a caller that has gone. begin: for requests like others before, with no coroutine;
    gives what is to be cancelled when the caller goes, or None where `answer` has to be asked.
    """

    answer: Callable[[Mapping[str, str], bytes], Awaitable[Response]]
    begin: Callable[[Mapping[str, str], bytes, Recipient], Pending | None]


Find = Callable[[str, str], Direct | None]
"""What answers a method and a path directly; None where nothing does."""

# No caller goes without a word for longer; the time that uvicorn would use is per request, and costs as much.
IDLE_SECONDS: Final = 75.0
_NEVER = 10**9
_END = b"\r\n\r\n"
_MOST_KNOWN, _LONGEST_KNOWN = 1024, 2048
_MOST_HEAD_BYTES = 65536
_MOST_BODY_BYTES = 1 << 20  # what is larger may come in as many pieces as it likes
_MOST_AHEAD_BYTES = 1 << 16  # of requests behind one that is worked on
# How long the rest of a request may be on its way before uvicorn waits for it, within limits of its own.
_REST_SECONDS = 1.0
_STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of a request. length: of its body; None where it is not framed in the plainest way."""

    length: int | None
    direct: Direct | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Express(asyncio.Protocol):
    """uvicorn's protocol for one connection, with a lane beside it. Made by `uvicorn.Server`.

    find: what answers directly; `lane` makes a class that uvicorn can construct.
    """

    find: Find = staticmethod(lambda method, path: None)
    known: dict[bytes, _Head]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._inner = HttpToolsProtocol(config, server_state, app_state, _loop)
        self._inner.app = self._through_uvicorn
        self._inner.timeout_keep_alive = _NEVER
        self._app: Any = config.loaded_app
        self._limit = config.limit_concurrency or _NEVER
        self._state = server_state
        self._tasks: set[Any] = server_state.tasks  # what uvicorn waits for when it stops
        self._loop = _loop or asyncio.get_running_loop()
        self._waiting = b""  # what has come and was not looked at yet
        self._working = 0  # requests without an answer: one here, or any number with uvicorn
        self._task: asyncio.Task[None] | None = None
        self._pending: Pending | None = None
        self._asked: tuple[_Head, bytes] | None = None  # what is pending
        self._stuffed = False  # whether the client does not read what it is sent
        self._given_up = False  # whether all goes to uvicorn from now on
        self._leaving = False
        self._heard = self._loop.time()
        self._rest: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._inner.connection_made(self._transport)
        connections = cast("set[Any]", self._state.connections)
        connections.discard(self._inner)  # it knows only of its own requests
        connections.add(self)
        self._idle = self._loop.call_later(IDLE_SECONDS, self._end_if_idle)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._given_up:
            self._inner.data_received(data)
            return
        self._waiting = self._waiting + data if self._waiting else data
        if not self._working:
            self._next()
        elif len(self._waiting) > _MOST_AHEAD_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._inner.eof_received()

    def connection_lost(self, _: Exception | None) -> None:
        cast("set[Any]", self._state.connections).discard(self)
        self._idle.cancel()
        if self._stuffed:
            self._stuck.cancel()
        if self._rest is not None:
            self._rest.cancel()
        if self._pending is not None:
            self._tasks.discard(self._pending)
            self._pending.cancel()
        if self._task is not None:
            self._task.cancel()
        elif self._waiting and not self._working:
            self._inner.data_received(self._waiting)  # which counts a request that will never be whole
        # Of an error uvicorn would make nothing but this: it would keep its timer, and with it all of this.
        self._inner.connection_lost(None)

    def pause_writing(self) -> None:
        self._stuffed = True
        self._inner.pause_writing()
        self._transport.pause_reading()  # who does not read answers must not ask for more
        self._stuck = self._loop.call_later(IDLE_SECONDS, self._transport.abort)

    def resume_writing(self) -> None:
        self._stuffed = False
        self._stuck.cancel()
        self._inner.resume_writing()
        self._go_on()

    # What uvicorn's server calls

    def shutdown(self) -> None:
        """Ends when what was asked is answered."""
        self._leaving = True
        if self._given_up:
            self._inner.shutdown()
        elif not self._working:
            self._transport.close()

    # Request by request

    def _next(self) -> None:
        """Begins with the next request that has come, if there is a whole one."""
        data = self._waiting
        end = data.find(_END)
        if end < 0:
            if data:
                self._wait_for_rest(len(data) > _MOST_HEAD_BYTES)
            return
        start = end + len(_END)
        head = self.known.get(data[:start]) or self._read(data[:start])
        if head.length is None or head.length > _MOST_BODY_BYTES or self._is_crowded():
            self._give_up()
            return
        size = start + head.length
        if len(data) < size:
            self._wait_for_rest(False)
            return
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._waiting = data[size:]
        self._working += 1
        if head.direct is None:
            self._inner.data_received(data[:size])
            return
        body = data[start:size]
        try:
            self._pending = head.direct.begin(head.headers, body, self)
        except Exception:  # the long way answers whatever comes
            _log.exception("a request was not taken on the short way")
        if self._pending is None:
            self._take_long_way(head.direct, head.headers, body)
        else:
            self._asked = head, body
            self._tasks.add(self._pending)

    def _take_long_way(self, direct: Direct, headers: Mapping[str, str], body: bytes) -> None:
        self._task = self._loop.create_task(self._answer(direct, headers, body))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    # What a request on the short way tells

    def ask_again(self) -> None:
        assert self._asked is not None
        (head, body), self._asked = self._asked, None
        self._end_pending()
        assert head.direct is not None
        self._take_long_way(head.direct, head.headers, body)

    def _end_pending(self) -> None:
        self._tasks.discard(self._pending)
        self._pending = None

    def respond(self, response: Response) -> None:
        if self._pending is not None:
            self._end_pending()
        if not self._transport.is_closing():
            self._write(response)
        self._done()

    def _is_crowded(self) -> bool:
        """Whether uvicorn refuses what comes now."""
        return len(self._state.connections) >= self._limit or len(self._tasks) >= self._limit

    async def _answer(self, direct: Direct, headers: Mapping[str, str], body: bytes) -> None:
        try:
            response = await direct.answer(headers, body)
        except Exception:  # which it should have answered itself
            _log.exception("a request failed")
            self._transport.abort()
            return
        self._task = None
        self._write(response)
        self._done()

    def _write(self, response: Response) -> None:
        head: list[bytes | memoryview] = [_STATUS_LINE[response.status_code]]
        for name, value in (*self._state.default_headers, *response.raw_headers):
            head += (name, b": ", value, b"\r\n")
        head += (b"connection: close\r\n\r\n" if self._leaving else b"\r\n", response.body)
        self._transport.write(b"".join(head))

    async def _through_uvicorn(self, scope: Any, receive: Any, send: Any) -> None:
        if self._given_up:  # else it was counted when it was handed on
            self._working += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._loop.call_soon(self._done)  # after uvicorn has ended it

    def _done(self) -> None:
        self._working -= 1
        self._heard = self._loop.time()
        if self._transport.is_closing() or self._working:
            return
        if self._leaving and not self._given_up:
            self._transport.close()
        elif not self._stuffed:
            self._go_on()

    def _go_on(self) -> None:
        """Takes what has come meanwhile, and more where there is room."""
        if self._waiting and not self._working and not self._given_up:
            self._next()
        if self._given_up or not self._working or len(self._waiting) <= _MOST_AHEAD_BYTES:
            self._transport.resume_reading()

    def _wait_for_rest(self, too_long: bool) -> None:
        if too_long:
            self._give_up()
        elif self._rest is None:
            self._rest = self._loop.call_later(_REST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Leaves this connection to uvicorn, which takes whatever HTTP allows."""
        self._given_up = True
        if self._rest is not None:
            self._rest.cancel()
        data, self._waiting = self._waiting, b""
        self._inner.data_received(data)
        if self._leaving:
            self._inner.shutdown()

    def _end_if_idle(self) -> None:
        left = IDLE_SECONDS if self._working else self._heard + IDLE_SECONDS - self._loop.time()
        if left <= 0:
            self._transport.close()
        else:
            self._idle = self._loop.call_later(left, self._end_if_idle)

    def _read(self, raw: bytes) -> _Head:
        reader = _HeadReader(raw)
        head = _Head(reader.length)
        if head.length is not None and (direct := self.find(reader.method, reader.path)) is not None:
            head = _Head(head.length, direct, reader.headers)
        elif reader.upgrades:
            head = _Head(None)
        if len(raw) <= _LONGEST_KNOWN:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known[raw] = head
        return head


class _HeadReader:
    """Reads a head by httptools.

    length: None for all but plain requests of HTTP/1.1 that keep their connection. upgrades: whether it would rather
    speak another protocol, as some clients of HTTP/2 ask at first, which a server may ignore.
    """

    def __init__(self, raw: bytes) -> None:
        self.method = self.path = ""
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.upgrades = False
        self._url = b""
        self._whole = False
        parser = httptools.HttpRequestParser(self)
        try:
            try:
                parser.feed_data(raw)
            except httptools.HttpParserUpgrade:
                self.upgrades = True
            path = httptools.parse_url(self._url).path.decode("ascii")
        except (httptools.HttpParserError, UnicodeDecodeError, AttributeError):
            return
        length = self.headers.get("content-length", "0")
        if (
            self._whole
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and self.headers.keys().isdisjoint(("transfer-encoding", "expect"))
            and length.isascii()
            and length.isdigit()
            and len(length) < 16
        ):
            self.method, self.path, self.length = parser.get_method().decode("ascii"), unquote(path), int(length)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._whole = True


def lane(find: Find) -> type[Express]:
    """The class of connections of a server whose requests `find` answers directly."""
    return type("Lane", (Express,), {"find": staticmethod(find), "known": {}})
