"""What goes out on a connection, as far as the client's windows let it.

Source: RFC 9113, section 5.2.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from serving.errors import Code
from serving.grpc.calls import Failure
from serving.grpc.http2 import frames
from serving.grpc.http2.frames import FIRST_WINDOW, LEAST_FRAME_BYTES, MOST_WINDOW, ConnectionFault, Fault
from serving.grpc.http2.heads import ANSWER, SUCCESS, ended_by
from serving.grpc.http2.packing import ENCODINGS

# A frame's head, and the five bytes before a gRPC message: not compressed, and so long.
_MESSAGE = struct.Struct(">HBBBIBI")
_PREFIX = struct.Struct(">BI")
_ANSWER_HEAD = frames.frame_head(len(ANSWER), frames.HEADERS, frames.END_HEADERS, 0)[:5]
_SUCCESS_HEAD = frames.frame_head(len(SUCCESS), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 0)[:5]
_ID = struct.Struct(">I")


class Lane:
    """One stream's way out: its window, and what waits for it to open. `trailers`: the frame after all of that."""

    __slots__ = ("drained", "id", "opened", "trailers", "waiting", "window")

    def __init__(self, stream: int, window: int) -> None:
        self.id = stream
        self.window = window
        self.opened = False  # whether the headers of the answer have gone out
        self.waiting: deque[memoryview] = deque()
        self.trailers: bytes | None = None
        self.drained: asyncio.Future[None] | None = None


class Outflow:
    """Sends answers; what a window holds back goes out when the client opens it.

    write: takes bytes for the socket. done: called with a lane when the last of it has gone there.
    """

    def __init__(self, write: Callable[[bytes], None], done: Callable[[Lane], None]) -> None:
        self._write = write
        self._done = done
        self._window = FIRST_WINDOW
        self._first_window = FIRST_WINDOW
        self._frame_bytes = LEAST_FRAME_BYTES
        self._starved: dict[int, Lane] = {}  # those that wait for the connection's window, not only for their own
        self.waiting_bytes = 0
        """How much waits for windows to open."""

    def lane(self, stream: int) -> Lane:
        return Lane(stream, self._first_window)

    def answer(self, lane: Lane, message: bytes) -> None:
        """The only message of a call that succeeded, with all that belongs around it."""
        length = len(message) + 5
        if length > lane.window or length > self._window or length > self._frame_bytes:
            self.message(lane, message)
            self.succeed(lane)
            return
        lane.window -= length
        self._window -= length
        stream = _ID.pack(lane.id)
        data = _MESSAGE.pack(length >> 8, length & 0xFF, 0, 0, lane.id, 0, length - 5)
        self._write(b"".join((_ANSWER_HEAD, stream, ANSWER, data, message, _SUCCESS_HEAD, stream, SUCCESS)))
        self._done(lane)

    def message(self, lane: Lane, message: bytes) -> None:
        """One message of several."""
        if not lane.opened:
            lane.opened = True
            self._write(frames.frame(frames.HEADERS, frames.END_HEADERS, lane.id, ANSWER))
        lane.waiting.append(memoryview(_PREFIX.pack(0, len(message)) + message))
        self.waiting_bytes += len(message) + _PREFIX.size
        self._push(lane)

    def succeed(self, lane: Lane) -> None:
        """Ends a call whose messages have all been given."""
        self._end(lane, SUCCESS)

    def fail(self, lane: Lane, failure: Failure) -> None:
        """Ends a call with a status, after the messages that it has got.

        Where the client takes none of these it gets no status either, for there is no telling when it would.
        """
        if lane.waiting:
            self.drop(lane)
            self._write(frames.rst_stream(lane.id, Fault.CANCEL))
            self._done(lane)
            return
        encodings = ",".join(ENCODINGS) if failure.code == Code.UNIMPLEMENTED.value else ""
        self._end(lane, ended_by(failure.code, failure.details, encodings))

    def refuse(self, lane: Lane, block: bytes) -> None:
        """Answers with headers alone what is no call."""
        lane.opened = True
        self._end(lane, block)

    def _end(self, lane: Lane, trailers: bytes) -> None:
        block = trailers if lane.opened else ANSWER + trailers
        lane.trailers = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, lane.id, block)
        self._push(lane)

    async def room(self, lane: Lane) -> None:
        """Returns when nothing of a stream waits any more."""
        if lane.waiting:
            lane.drained = asyncio.get_running_loop().create_future()
            await lane.drained

    def drop(self, lane: Lane) -> None:
        """Nothing more of it goes out."""
        self._starved.pop(lane.id, None)
        self.waiting_bytes -= sum(map(len, lane.waiting))
        lane.waiting.clear()

    def set_first_window(self, size: int, lanes: "list[Lane]") -> None:
        """The client's setting, which moves the windows of open streams, too. Raises ConnectionFault."""
        if size > MOST_WINDOW:
            raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "expected an initial window of at most 2^31-1")
        more, self._first_window = size - self._first_window, size
        for lane in lanes:
            lane.window += more
            if lane.window > MOST_WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "expected a window of at most 2^31-1")
        for lane in lanes:
            if lane.waiting and lane.window > 0:
                self._push(lane)

    def set_frame_bytes(self, size: int) -> None:
        """The client's setting. Raises ConnectionFault."""
        if not LEAST_FRAME_BYTES <= size <= frames.MOST_FRAME_BYTES:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "expected frames of 2^14 to 2^24-1 bytes")
        self._frame_bytes = size

    def open(self, more: int) -> None:
        """The client takes so many more bytes on the connection. Raises ConnectionFault."""
        self._window += more
        if self._window > MOST_WINDOW:
            raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "expected a window of at most 2^31-1")
        for lane in list(self._starved.values()):
            if self._window <= 0:
                break
            self._push(lane)

    def open_lane(self, lane: Lane, more: int) -> bool:
        """The client takes so many more bytes on one stream; False where that is more than a window may be."""
        lane.window += more
        if lane.window > MOST_WINDOW:
            return False
        self._push(lane)
        return True

    def _push(self, lane: Lane) -> None:
        """Sends what the windows allow of one stream."""
        out: list[bytes | memoryview] = []
        while lane.waiting:
            chunk = lane.waiting[0]
            size = min(len(chunk), lane.window, self._window, self._frame_bytes)
            if size <= 0:
                break
            out += (frames.frame_head(size, frames.DATA, 0, lane.id), chunk[:size])
            lane.window -= size
            self._window -= size
            self.waiting_bytes -= size
            if size == len(chunk):
                lane.waiting.popleft()
            else:
                lane.waiting[0] = chunk[size:]
        if lane.waiting and lane.window > 0:
            self._starved[lane.id] = lane
        else:
            self._starved.pop(lane.id, None)
        if not lane.waiting and lane.drained is not None and not lane.drained.done():
            lane.drained.set_result(None)
        trailers, ends = lane.trailers, False
        if trailers is not None and not lane.waiting:
            out.append(trailers)
            lane.trailers, ends = None, True
        if out:
            self._write(b"".join(out))
        if ends:
            self._done(lane)
