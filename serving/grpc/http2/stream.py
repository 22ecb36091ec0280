"""One call on a connection: its messages in, the work on it, its answer out.

Source: grpc/doc/PROTOCOL-HTTP2.md.
"""

import asyncio
import logging
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from serving.errors import Code
from serving.grpc.calls import Failure, StreamCall, UnaryCall
from serving.grpc.direct import PREFIX_BYTES, Call
from serving.grpc.http2.heads import Head
from serving.grpc.http2.outflow import Lane, Outflow
from serving.grpc.http2.packing import unpacked

_log = logging.getLogger(__name__)
_PREFIX = struct.Struct(">BI")


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may ask for: the largest message, how many calls at once, on one connection or on all together, and
    the bytes of one stream that may be sent before any are taken.
    """

    message_bytes: int
    calls: int
    window: int = 4 << 20


class Stream:
    """A call from its headers to its last answer. Methods are called in the event loop and do not block.

    lane: its way out, on `outflow`. credit: lets the client send so many more bytes of it.
    received: how much of its window was used since the client last got some back.
    """

    __slots__ = (
        "_buffer",
        "_call",
        "_credit",
        "_deadline",
        "_direct",
        "_encoding",
        "_incoming",
        "_limits",
        "_message",
        "_outflow",
        "_task",
        "_timer",
        "_waiter",
        "ended",
        "lane",
        "received",
    )

    def __init__(
        self,
        call: UnaryCall | StreamCall,
        head: Head,
        lane: Lane,
        outflow: Outflow,
        credit: Callable[[int, int], None],
        limits: Limits,
    ) -> None:
        self.lane = lane
        self.ended = False  # whether the client has said all it has to say
        self.received = 0
        self._outflow = outflow
        self._credit = credit
        self._call = call
        self._limits = limits
        self._encoding = head.encoding
        self._buffer = bytearray()
        self._incoming: deque[bytes | Failure] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._direct: Call | None = None
        self._message: bytes | None = None  # what was asked on the short way
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        if head.timeout is not None:
            self._deadline = time.monotonic() + head.timeout
            self._timer = asyncio.get_running_loop().call_later(head.timeout, self._expire)
        if isinstance(call, StreamCall):
            self._task = asyncio.create_task(self._run_stream(call))

    def take(self, data: bytes | memoryview, *, ended: bool) -> None:
        """Takes a piece of what the client sends."""
        if isinstance(self._call, StreamCall):
            self._buffer += data
            self._take_messages()
            if ended:
                self.end()
        elif ended and not self._buffer:  # nearly all calls come in one piece
            self.ended = True
            self._begin(self._call, bytes(data))
        else:
            self._buffer += data
            if failure := self._too_large(self._buffer):
                self._fail(failure)
            elif ended:
                self.end()
            elif self.received * 2 > self._limits.window:
                self._give_credit()

    def end(self) -> None:
        """The client has sent everything."""
        self.ended = True
        if isinstance(self._call, UnaryCall):
            if self._task is None and self._direct is None:
                whole, self._buffer = self._buffer, bytearray()
                self._begin(self._call, whole)
            return
        if self._buffer:
            self._incoming.append(Failure(Code.INTERNAL.value, "the stream ended within a message"))
            self._buffer.clear()
        self._wake()

    def cancel(self) -> None:
        """Nobody waits for an answer any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        elif self._direct is not None:
            self._direct.cancel()

    def sent(self) -> None:
        """The last of its answer has gone out; until then its deadline holds."""
        if self._timer is not None:
            self._timer.cancel()

    def abandon(self, failure: Failure) -> None:
        """Ends the work with this answer."""
        self.cancel()
        self._outflow.fail(self.lane, failure)

    # One request, one answer

    def _begin(self, call: UnaryCall, whole: bytes | bytearray) -> None:
        if failure := self._too_large(whole):
            self._fail(failure)
            return
        if len(whole) < PREFIX_BYTES or _PREFIX.unpack_from(whole)[1] != len(whole) - PREFIX_BYTES:
            self._fail(Failure(Code.INTERNAL.value, f"expected one message, got {len(whole)} bytes of something else"))
            return
        # A message that came in one piece may be known by its bytes.
        if call.begin is not None and type(whole) is bytes and not whole[0]:
            self._direct = call.begin(whole, self._deadline, self)
            if self._direct is not None:
                self._message = whole
                return
        self._take_long_way(call, whole)

    def _take_long_way(self, call: UnaryCall, whole: bytes | bytearray) -> None:
        self._task = asyncio.create_task(self._run(call, whole))

    async def _run(self, call: UnaryCall, whole: bytes | bytearray) -> None:
        try:
            message: bytes | memoryview
            if whole[0]:
                message = await unpacked(whole[0], whole[PREFIX_BYTES:], self._encoding, self._limits.message_bytes)
            else:
                message = memoryview(whole).toreadonly()[PREFIX_BYTES:]
            answer = await call.answer(message, self._deadline)
        except Failure as failure:
            self._fail(failure)
        except Exception:
            self._fail(_unexpected(call))
        else:
            self._outflow.answer(self.lane, answer)

    def _fail(self, failure: Failure) -> None:
        self._outflow.fail(self.lane, failure)

    # What a call on the short way tells

    def answered(self, message: bytes) -> None:
        self._outflow.answer(self.lane, message)

    def failed(self, error: BaseException) -> None:
        assert isinstance(self._call, UnaryCall)
        assert self._call.failure is not None
        self._fail(self._call.failure(error))

    def ask_again(self) -> None:
        assert isinstance(self._call, UnaryCall)
        assert self._message is not None
        self._take_long_way(self._call, self._message)

    def _expire(self) -> None:
        self.abandon(Failure(Code.DEADLINE_EXCEEDED.value, "the deadline passed before the answer was ready"))

    # Streams of either

    async def _run_stream(self, call: StreamCall) -> None:
        try:
            async with aclosing(call.answers(self._messages(), self._deadline)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    self._outflow.message(self.lane, answer)
                    await self._outflow.room(self.lane)
        except Failure as failure:
            self._fail(failure)
        except Exception:
            self._fail(_unexpected(call))
        else:
            self._outflow.succeed(self.lane)

    def _take_messages(self) -> None:
        """Moves whole messages from the buffer to those that wait to be read."""
        start, buffer = 0, self._buffer
        while len(buffer) - start >= PREFIX_BYTES:
            if failure := self._too_large(memoryview(buffer)[start:]):
                self._incoming.append(failure)
                start = len(buffer)
                break
            _, length = _PREFIX.unpack_from(buffer, start)
            end = start + PREFIX_BYTES + length
            if end > len(buffer):
                break
            self._incoming.append(bytes(memoryview(buffer)[start:end]))
            start = end
        del buffer[:start]
        if start:
            self._wake()
        elif not self._incoming and self.received * 2 > self._limits.window:  # a message larger than the window
            self._give_credit()

    async def _messages(self) -> AsyncIterator[bytes]:
        while True:
            while self._incoming:
                whole = self._incoming.popleft()
                if isinstance(whole, Failure):
                    raise whole
                if not self._incoming:  # all were read, so that there is room for as many again
                    self._give_credit()
                payload, most = whole[PREFIX_BYTES:], self._limits.message_bytes
                yield await unpacked(whole[0], payload, self._encoding, most) if whole[0] else payload
            if self.ended:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Messages

    def _too_large(self, begun: bytes | bytearray | memoryview) -> Failure | None:
        """What to answer where the message that begins so is larger than one may be."""
        if len(begun) < PREFIX_BYTES:
            return None
        length, most = _PREFIX.unpack_from(begun)[1], self._limits.message_bytes
        if length <= most and (len(begun) <= most + PREFIX_BYTES or isinstance(self._call, StreamCall)):
            return None
        got = max(length, len(begun) - PREFIX_BYTES)
        return Failure(Code.RESOURCE_EXHAUSTED.value, f"Received message larger than max ({got} vs. {most})")

    def _give_credit(self) -> None:
        if self.received and not self.ended:
            self._credit(self.lane.id, self.received)
        self.received = 0


def _unexpected(call: UnaryCall | StreamCall) -> Failure:
    """What nobody has translated, as out of memory; called where it is caught."""
    _log.exception("%s failed", call.path)
    return Failure(Code.INTERNAL.value, "internal error")
