"""Cuts what comes on a connection into frames.

Source: RFC 9113, sections 3.4 and 4.
"""

from collections.abc import Callable
from typing import Final

from serving.grpc.http2 import frames
from serving.grpc.http2.frames import HEAD_BYTES, PREFACE, ConnectionFault, Fault

FRAME_BYTES: Final = 1 << 20
"""The largest DATA frame taken."""
_CONTROL_BYTES = 16384  # and the largest of any other kind
_LARGE_FRAME = 8192  # from here on a payload is handed on before it is whole
_ID = 0x7FFFFFFF

TakeData = Callable[[int, bytes | memoryview, int, int], None]
"""Gets the stream, a piece of its data, how much that counts for windows, and the flags if it is the last piece."""
TakeFrame = Callable[[int, int, int, bytes], None]
"""Gets the kind of a frame, its flags, its stream and its payload."""


class NotHttp2(Exception):
    """The client speaks something else."""


class Reader:
    """Reads one connection. DATA without padding goes to `take_data`, all else to `take_frame`.

    introduce: called once the client has said its preface, before anything is taken.
    """

    def __init__(self, introduce: Callable[[], None], take_data: TakeData, take_frame: TakeFrame) -> None:
        self._introduce = introduce
        self._take_data = take_data
        self._take_frame = take_frame
        self._rest = b""  # of a frame that has not come whole
        self._passing: tuple[int, int, int] | None = None  # a large DATA frame: stream, flags, bytes to come
        self.greeted = False
        """Whether the client has said its preface."""
        self.stopped = False
        """Whether nothing more is wanted; may be set at any time."""

    def read(self, data: bytes) -> None:
        """Takes what has come. Raises ConnectionFault, NotHttp2 and what the takers raise."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position, size = 0, len(data)
        if not self.greeted:
            if not self._greet(data):
                return
            position = len(PREFACE)
        if self._passing is not None:
            position = self._pass(data, 0)
        while size - position >= HEAD_BYTES and not self.stopped:
            high, low, kind, flags, number = frames.read_head(data, position)
            length = high << 8 | low
            most = FRAME_BYTES if kind == frames.DATA else _CONTROL_BYTES
            if length > most:
                raise ConnectionFault(
                    Fault.FRAME_SIZE_ERROR, f"expected a frame of at most {most} bytes, got one of {length}"
                )
            start = position + HEAD_BYTES
            plain = kind == frames.DATA and not flags & frames.PADDED
            if start + length > size:
                if plain and length > _LARGE_FRAME:
                    self._passing = number & _ID, flags, length
                    position = self._pass(data, start)
                break
            position = start + length
            if not plain:
                self._take_frame(kind, flags, number & _ID, data[start:position])
            elif length <= _LARGE_FRAME:
                self._take_data(number & _ID, data[start:position], length, flags)
            else:
                self._take_data(number & _ID, memoryview(data)[start:position], length, flags)
        if position < size and not self.stopped:
            self._rest = data[position:]

    def _greet(self, data: bytes) -> bool:
        if not data.startswith(PREFACE[: len(data)]):
            raise NotHttp2
        if len(data) < len(PREFACE):
            self._rest = data
        else:
            self.greeted = True
            self._introduce()
        return self.greeted

    def _pass(self, data: bytes, start: int) -> int:
        """Hands on as much of a large frame as there is; returns where it ends."""
        assert self._passing is not None
        stream, flags, left = self._passing
        piece = memoryview(data)[start : start + left]
        left -= len(piece)
        self._passing = (stream, flags, left) if left else None
        self._take_data(stream, piece, len(piece), 0 if left else flags)
        return start + len(piece)
