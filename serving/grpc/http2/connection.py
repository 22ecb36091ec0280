"""One client's connection: reads its frames and hands each stream its own.

Source: RFC 9113.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from serving.errors import Code
from serving.grpc.calls import Calls, Failure
from serving.grpc.http2 import frames
from serving.grpc.http2.frames import ConnectionFault, Fault, Setting
from serving.grpc.http2.heads import MOST_HEADER_BYTES, Head, Heads, http_refusal
from serving.grpc.http2.outflow import Lane, Outflow
from serving.grpc.http2.packing import ENCODINGS
from serving.grpc.http2.reader import FRAME_BYTES, NotHttp2, Reader
from serving.grpc.http2.stream import Limits, Stream

_WINDOW = 16 << 20  # of a connection: given back as it is used, for streams have windows of their own
_HELLO_SECONDS = 20.0
_GOODBYE_SECONDS = 1.0
_GOODBYE = b"goodbye!"
_UNREAD_SECONDS = 60.0  # in which a client must take of its answers what it has room for
# Calls that a client may cancel, and settings that it may send, within so many seconds: more is an attack.
_MOST_NUISANCES, _COUNTING_SECONDS = 2000, 10.0
_MOST_WAITING_BYTES = 64 << 20  # of answers that a client does not take; from there on it gets no others
_MOST_STREAMS = 1024  # at once on one connection
_WINDOW_MASK = 0x7FFFFFFF
_HTTP_1_TEXT = b"expected gRPC, which is HTTP/2; got other data\n"
_HTTP_1 = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_HTTP_1_TEXT), _HTTP_1_TEXT)
)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Crowd:
    """The connections of one listener, and how many calls of them all are worked on."""

    connections: "set[Connection]" = field(default_factory=set)
    calls: int = 0


class Connection(asyncio.Protocol):
    """Speaks HTTP/2 with one client, as the server that gRPC wants.

    crowd: the connections of a listener, which this joins and leaves; `limits.calls` is for all of them together.
    """

    def __init__(self, calls: Calls, limits: Limits, crowd: Crowd) -> None:
        self._calls = calls
        self._limits = limits
        self._most_streams = min(limits.calls, _MOST_STREAMS)
        self._crowd = crowd
        self._streams: dict[int, Stream] = {}
        self._heads = Heads()
        self._reader = Reader(self._introduce, self._take_data, self._take)
        self._block: tuple[int, int, bytes] | None = None  # headers that go on in the next frame
        self._introduced = False  # whether the client has sent its settings
        self._stuck: asyncio.TimerHandle | None = None
        self._last_stream = 0
        self._received = 0  # of the window, since the client last got some back
        self._nuisances = 0  # since `_counting_since`
        self._counting_since = 0.0
        self._told = False  # whether the client was asked to go elsewhere
        self._leaving = False  # whether no new calls are taken
        self._closed = False
        self._takers: Mapping[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._take_data_frame,
            frames.HEADERS: self._take_headers,
            frames.PRIORITY: self._take_priority,
            frames.RST_STREAM: self._take_reset,
            frames.SETTINGS: self._take_settings,
            frames.PUSH_PROMISE: self._take_push,
            frames.PING: self._take_ping,
            frames.GOAWAY: self._take_goaway,
            frames.WINDOW_UPDATE: self._take_window_update,
            frames.CONTINUATION: self._take_continuation,
        }

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by type
        self._outflow = Outflow(self._transport.write, self._sent)
        self._crowd.connections.add(self)
        if (link := transport.get_extra_info("socket")) is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # else nobody notices clients that vanished
        self._timer = asyncio.get_running_loop().call_later(_HELLO_SECONDS, self._close)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.read(data)
        except NotHttp2:
            self._transport.write(_HTTP_1)
            self._close()
        except ConnectionFault as fault:
            self._end(fault.fault, fault.message)
        except Exception:
            _log.exception("a connection failed")
            self._end(Fault.INTERNAL_ERROR, "internal error")

    def connection_lost(self, _: Exception | None) -> None:
        self._closed = self._reader.stopped = True
        self._timer.cancel()
        if self._stuck is not None:
            self._stuck.cancel()
        self._crowd.connections.discard(self)
        self._cancel_all()

    def pause_writing(self) -> None:
        self._transport.pause_reading()  # who does not read answers must not ask for more
        self._stuck = asyncio.get_running_loop().call_later(_UNREAD_SECONDS, self.abort)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        self._transport.resume_reading()

    # What the listener calls

    def leave(self) -> None:
        """Sends the client elsewhere, and ends when what it has asked here is answered."""
        if self._closed or self._told:
            return
        self._told = True
        if not self._reader.greeted:
            self._close()
            return
        # What is on its way is still taken: the answer to the ping comes after it.
        self._transport.write(
            frames.goaway(frames.MOST_WINDOW, Fault.NO_ERROR) + frames.frame(frames.PING, 0, 0, _GOODBYE)
        )
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_GOODBYE_SECONDS, self._take_no_more)

    def abandon(self) -> None:
        """Ends now; calls that are worked on get UNAVAILABLE."""
        for stream in list(self._streams.values()):
            stream.abandon(Failure(Code.UNAVAILABLE.value, "the server is stopping"))
        self._close()

    def abort(self) -> None:
        """Ends without a word to a client that does not listen."""
        self._transport.abort()

    def _take_no_more(self) -> None:
        if not self._closed and not self._leaving:
            self._leaving = True
            self._transport.write(frames.goaway(self._last_stream, Fault.NO_ERROR))
            if not self._streams:
                self._close()

    def _close(self) -> None:
        """Ends when what was written has gone out; a client that does not read has a moment for it."""
        if not self._closed:
            self._closed = self._reader.stopped = True
            self._cancel_all()
            self._transport.close()
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(_GOODBYE_SECONDS, self.abort)

    def _cancel_all(self) -> None:
        for stream in self._streams.values():
            stream.cancel()
            self._outflow.drop(stream.lane)
        self._crowd.calls -= len(self._streams)
        self._streams.clear()

    def _end(self, fault: Fault, message: str) -> None:
        """The client broke a rule, and gets to know which."""
        if not self._closed:
            self._transport.write(frames.goaway(self._last_stream, fault, message))
            self._close()

    # What a stream calls

    def _credit(self, stream: int, nbytes: int) -> None:
        if not self._closed:
            self._transport.write(frames.window_update(stream, nbytes))

    def _sent(self, lane: Lane) -> None:
        """The last of an answer has gone out."""
        stream = self._forget(lane.id)
        if stream is not None:
            stream.sent()
            if not stream.ended and not self._closed:
                self._transport.write(frames.rst_stream(lane.id, Fault.NO_ERROR))  # the rest is not wanted
        if self._leaving and not self._streams:
            self._close()

    def _forget(self, number: int) -> Stream | None:
        """A call that has ended is none of those any more that are worked on."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._crowd.calls -= 1
        return stream

    # What the client sends

    def _introduce(self) -> None:
        settings = {
            Setting.MAX_CONCURRENT_STREAMS: self._most_streams,
            Setting.INITIAL_WINDOW_SIZE: self._limits.window,
            Setting.MAX_FRAME_SIZE: FRAME_BYTES,
            Setting.MAX_HEADER_LIST_SIZE: MOST_HEADER_BYTES,
        }
        self._transport.write(frames.settings(settings) + frames.window_update(0, _WINDOW - frames.FIRST_WINDOW))

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and (kind != frames.CONTINUATION or number != self._block[0]):
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected the rest of the headers, got another frame")
        if not self._introduced and kind != frames.SETTINGS:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected SETTINGS first, got another frame")
        if taker := self._takers.get(kind):  # unknown ones are extensions, which mean nothing here
            taker(flags, number, payload)

    def _take_data_frame(self, flags: int, number: int, payload: bytes) -> None:
        self._take_data(number, frames.unpadded(flags, payload), len(payload), flags)

    def _take_data(self, number: int, data: bytes | memoryview, length: int, flags: int) -> None:
        """length: of the frame, padding included, which counts for the windows."""
        if self._block is not None:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected the rest of the headers, got data")
        self._received += length
        if self._received * 2 > _WINDOW:
            if self._received > _WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, f"expected at most {_WINDOW} bytes at once, got more")
            self._transport.write(frames.window_update(0, self._received))
            self._received = 0
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number)  # else it was sent before the client knew that the call has ended
        elif stream.ended:
            self._break_off(stream, Fault.STREAM_CLOSED)
        else:
            stream.received += length
            if stream.received > self._limits.window:
                self._break_off(stream, Fault.FLOW_CONTROL_ERROR)
            else:
                stream.take(data, ended=flags & frames.END_STREAM != 0)

    def _take_headers(self, flags: int, number: int, payload: bytes) -> None:
        block = payload if not flags & frames.PADDED else frames.unpadded(flags, payload)
        if flags & frames.PRIORITY_GIVEN:
            if len(block) < 5:
                raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "expected 5 bytes of priority, got fewer")
            block = block[5:]
        if flags & frames.END_HEADERS:
            self._begin(number, block, flags)
        else:
            self._block = number, flags, block

    def _take_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected headers before their continuation")
        if not payload:
            self._count_nuisance()
        _, first, block = self._block
        block += payload
        if len(block) > MOST_HEADER_BYTES:
            raise ConnectionFault(
                Fault.ENHANCE_YOUR_CALM, f"expected headers of at most {MOST_HEADER_BYTES} bytes, got more"
            )
        self._block = number, first, block
        if flags & frames.END_HEADERS:
            self._block = None
            self._begin(number, block, first)

    def _begin(self, number: int, block: bytes, flags: int) -> None:
        head = self._heads.read(block)
        ended = flags & frames.END_STREAM != 0
        stream = self._streams.get(number)
        if stream is not None:  # trailers, which gRPC's clients do not send, but may
            if stream.ended or not ended:
                self._break_off(stream, Fault.STREAM_CLOSED if stream.ended else Fault.PROTOCOL_ERROR)
            else:
                stream.end()
            return
        if number <= self._last_stream or not number & 1:
            self._check_known(number)
            return
        self._last_stream = number
        if head.malformed:
            self._reset(number, Fault.PROTOCOL_ERROR)
        elif self._leaving or len(self._streams) >= self._most_streams:
            self._reset(number, Fault.REFUSED_STREAM)
        else:
            self._start(number, head, ended)

    def _start(self, number: int, head: Head, ended: bool) -> None:
        lane = self._outflow.lane(number)
        call = self._calls.get(head.path)
        if head.refusal is not None:
            self._outflow.refuse(lane, http_refusal(head.refusal))
        elif self._crowd.calls >= self._limits.calls:
            why = f"expected at most {self._limits.calls} calls at once, got one more"
            self._outflow.fail(lane, Failure(Code.RESOURCE_EXHAUSTED.value, why))
        elif self._outflow.waiting_bytes > _MOST_WAITING_BYTES:
            why = (
                f"expected answers to be taken before more is asked, got {self._outflow.waiting_bytes} bytes that wait"
            )
            self._outflow.fail(lane, Failure(Code.RESOURCE_EXHAUSTED.value, why))
        elif call is None:
            self._outflow.fail(lane, Failure(Code.UNIMPLEMENTED.value, f"unknown method {head.path[:200]}"))
        elif head.encoding not in ENCODINGS:
            why = f"expected a grpc-encoding of {', '.join(ENCODINGS)}; got {head.encoding[:60]}"
            self._outflow.fail(lane, Failure(Code.UNIMPLEMENTED.value, why))
        else:
            stream = self._streams[number] = Stream(call, head, lane, self._outflow, self._credit, self._limits)
            self._crowd.calls += 1
            if ended:
                stream.end()
            return
        if not ended:
            self._reset(number, Fault.NO_ERROR)

    def _take_priority(self, _: int, number: int, payload: bytes) -> None:
        if not number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected a stream with a priority, got none")
        if len(payload) != 5:
            self._reset(number, Fault.FRAME_SIZE_ERROR)

    def _take_reset(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"expected a reset of 4 bytes, got {len(payload)}")
        self._check_known(number)
        stream = self._forget(number)
        if stream is not None:
            stream.cancel()
            self._outflow.drop(stream.lane)
            self._count_nuisance()
            if self._leaving and not self._streams:
                self._close()

    def _take_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or (flags & frames.ACK and payload):
            raise ConnectionFault(
                Fault.PROTOCOL_ERROR if number else Fault.FRAME_SIZE_ERROR, "expected settings of the connection"
            )
        if not self._introduced:
            self._introduced = True
            self._timer.cancel()
        if flags & frames.ACK:
            return
        settings = frames.read_settings(payload)
        self._count_nuisance()  # for each setting may move the windows of all streams
        # First, for what windows then let through comes after it.
        self._transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        for name, value in dict(settings).items():
            if name == Setting.INITIAL_WINDOW_SIZE:
                self._outflow.set_first_window(value, [stream.lane for stream in self._streams.values()])
            elif name == Setting.MAX_FRAME_SIZE:
                self._outflow.set_frame_bytes(value)
            elif name == Setting.ENABLE_PUSH and value > 1:
                raise ConnectionFault(Fault.PROTOCOL_ERROR, f"expected ENABLE_PUSH of 0 or 1, got {value}")

    def _take_push(self, *_: object) -> None:
        raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected no PUSH_PROMISE from a client")

    def _take_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise ConnectionFault(
                Fault.PROTOCOL_ERROR if number else Fault.FRAME_SIZE_ERROR, "expected a ping of 8 bytes to all"
            )
        if not flags & frames.ACK:
            self._transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _GOODBYE:
            self._take_no_more()

    def _take_goaway(self, _: int, number: int, payload: bytes) -> None:
        if number or len(payload) < 8:
            raise ConnectionFault(
                Fault.PROTOCOL_ERROR if number else Fault.FRAME_SIZE_ERROR, "expected a goodbye of 8 bytes to all"
            )

    def _take_window_update(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"expected a window update of 4 bytes, got {len(payload)}")
        (more,) = frames.read_number(payload)
        more &= _WINDOW_MASK
        if number:
            self._check_known(number)
        stream = self._streams.get(number)
        if not number:
            if not more:
                raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected a window to grow, got 0 bytes more")
            self._outflow.open(more)
        elif stream is not None:
            if not more:
                self._break_off(stream, Fault.PROTOCOL_ERROR)
            elif not self._outflow.open_lane(stream.lane, more):
                self._break_off(stream, Fault.FLOW_CONTROL_ERROR)

    def _check_known(self, number: int) -> None:
        """Raises ConnectionFault for a stream that the client has never begun."""
        if number > self._last_stream or not number & 1:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"expected a stream that was begun, got {number}")

    def _break_off(self, stream: Stream, fault: Fault) -> None:
        """Ends a call whose client broke a rule that concerns no other."""
        stream.cancel()
        self._outflow.drop(stream.lane)
        self._forget(stream.lane.id)
        self._reset(stream.lane.id, fault)
        self._count_nuisance()

    def _count_nuisance(self) -> None:
        """Counts what costs the server more than the client."""
        now = asyncio.get_running_loop().time()
        if now - self._counting_since > _COUNTING_SECONDS:
            self._counting_since, self._nuisances = now, 0
        self._nuisances += 1
        if self._nuisances > _MOST_NUISANCES:
            raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, "expected fewer cancelled calls and settings at once")

    def _reset(self, number: int, fault: Fault) -> None:
        self._transport.write(frames.rst_stream(number, fault))
