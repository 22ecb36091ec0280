"""The header blocks of gRPC: what a call's first one asks for, and those of answers.

Source: grpc/doc/PROTOCOL-HTTP2.md.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

from serving.grpc.http2.frames import ConnectionFault, Fault

MOST_HEADER_BYTES: Final = 16384
"""Of a request's headers, compressed or not."""
_MOST_KNOWN, _LONGEST_KNOWN = 64, 1024
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a call say.

    path: "/service/method". timeout: seconds, None for none. encoding: of compressed messages.
    refusal: an HTTP status, where this is no gRPC call at all; malformed: why the call's headers are not well-formed.
    """

    path: str
    timeout: float | None = None
    encoding: str = "identity"
    refusal: int | None = None
    malformed: str | None = None


class _CountedTable(HeaderTable):
    """Counts what changes it: between two changes equal blocks mean equal headers."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    def _shrink(self) -> None:
        self.changes += 1
        super()._shrink()


class Heads:
    """Reads one connection's header blocks, in their order. Clients send the same one again and again."""

    def __init__(self) -> None:
        self._decoder = Decoder(MOST_HEADER_BYTES)
        self._table = self._decoder.header_table = _CountedTable()
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """The head of a call; raises ConnectionFault where the block cannot be decoded."""
        head = self._known.get(block)
        return self._decoded(block) if head is None else head

    def _decoded(self, block: bytes) -> Head:
        changes = self._table.changes
        try:
            head = _head(self._decoder.decode(block, raw=True))
        except (HPACKError, ValueError, IndexError) as error:
            raise ConnectionFault(Fault.COMPRESSION_ERROR, f"headers cannot be decoded: {error}") from None
        resizes = block[:1] and block[0] & 0xE0 == 0x20
        if self._table.changes != changes or resizes or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if self._table.changes == changes and not resizes and len(block) <= _LONGEST_KNOWN:
            self._known[block] = head
        return head


def _head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    pseudo: dict[bytes, bytes] = {}
    plain: dict[bytes, bytes] = {}
    for name, value in headers:
        if not name.startswith(b":"):
            if name != name.lower():
                return Head("", malformed="expected header names in lower case")
            plain[bytes(name)] = bytes(value)
        elif plain or name in pseudo:
            return Head("", malformed="expected pseudo-headers once, and before all others")
        else:
            pseudo[bytes(name)] = bytes(value)
    if not pseudo.keys() >= {b":method", b":path", b":scheme"} or b"connection" in plain:
        return Head("", malformed="expected a request with :method, :path and :scheme, and without connection")
    if pseudo[b":method"] != b"POST":
        return Head("", refusal=405)
    if not re.fullmatch(rb"application/grpc([+;].*)?", plain.get(b"content-type", b"")):
        return Head("", refusal=415)
    return Head(
        pseudo[b":path"].decode("latin-1"),
        *_timeout(plain.get(b"grpc-timeout")),
        encoding=plain.get(b"grpc-encoding", b"identity").decode("latin-1"),
    )


def _timeout(text: bytes | None) -> tuple[float | None]:
    found = _TIMEOUT.fullmatch(text) if text is not None else None
    return (int(found[1]) * _SECONDS[found[2]] if found else None,)


def _literal(name: bytes, value: bytes) -> bytes:
    """One header, in a form that leaves the client's table alone."""
    return b"\x00" + _sized(name) + _sized(value)


def _sized(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, length = len(text) - 127, bytearray(b"\x7f")
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    length.append(rest)
    return bytes(length) + text


_OK = b"\x88"  # :status 200 in the table that both sides begin with
ANSWER: Final = _OK + _literal(b"content-type", b"application/grpc")
"""Headers before the messages of an answer."""
SUCCESS: Final = _literal(b"grpc-status", b"0")
"""Headers after them."""


def ended_by(code: int, details: str, encodings: str = "") -> bytes:
    """Headers that end a call with a status. details: as long as the caller makes them."""
    told = _literal(b"grpc-status", str(code).encode())
    if details:
        told += _literal(b"grpc-message", _percent_encoded(details))
    return told + (_literal(b"grpc-accept-encoding", encodings.encode()) if encodings else b"")


def http_refusal(status: int) -> bytes:
    """Headers that answer what is no gRPC."""
    return _literal(b":status", str(status).encode())


def _percent_encoded(text: str) -> bytes:
    one: Callable[[int], bytes] = lambda byte: bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte  # noqa: E731
    return b"".join(map(one, text.encode()))
