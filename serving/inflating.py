"""Bodies that came compressed by gzip or zlib, unpacked within a limit.

RFC 9110, 8.4.1: "deflate" is the zlib format; many senders leave its header out, so that both are read.
"""

import zlib
from typing import Final

MOST_RATIO: Final = 1032
"""So many bytes may one compressed byte stand for."""
_GZIP = 31
_ZLIB = 15
_BARE = -15
# Who compresses in blocks writes a member for each 64 KiB; without end, empty ones would cost more than they say.
_MOST_MEMBERS = 10_000
_PIECE_BYTES = 16 * 1024


class Damaged(Exception):
    """What came is not what it is said to be; the message says how."""


class TooLong(Exception):
    """Unpacked it is longer than it may be."""


def inflated(body: bytes | bytearray, coding: str, limit: int) -> bytes:
    """The body as it was; coding: "gzip" or "deflate". Raises Damaged and TooLong."""
    wbits = _GZIP if coding == "gzip" else _ZLIB if _has_zlib_header(body) else _BARE
    rest, whole = memoryview(body), bytearray()
    for _ in range(_MOST_MEMBERS):
        decompressor = zlib.decompressobj(wbits)
        while not decompressor.eof:
            if not rest:
                raise Damaged(f"expected a whole {coding} body, got one that ends early")
            # In pieces, because zlib copies what it has not used, and a member may be of a few bytes.
            piece, rest = rest[:_PIECE_BYTES], rest[_PIECE_BYTES:]
            try:
                whole += decompressor.decompress(piece, limit + 1 - len(whole))
            except zlib.error as error:
                raise Damaged(f"expected a {coding} body, got bytes that do not decompress: {error}") from None
            if len(whole) > limit:
                raise TooLong
        used = len(body) - len(rest) - len(decompressor.unused_data)
        rest = memoryview(body)[used:]
        if not rest or coding != "gzip":
            return bytes(whole)
    raise Damaged(f"expected a {coding} body of at most {_MOST_MEMBERS} members, got more")


def _has_zlib_header(body: bytes | bytearray) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
