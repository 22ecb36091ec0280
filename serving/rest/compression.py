"""Content codings of bodies: gzip and deflate, in and out.

RFC 9110, 8.4.1: "deflate" is the zlib format; many senders leave its header out, so that both are read.
"""

import zlib
from collections.abc import Callable

from starlette.responses import Response

from serving.offload import sized
from serving.rest.errors import HttpError

CODINGS = ("gzip", "deflate")
_ALIASES = {"x-gzip": "gzip"}
# HTTP libraries name all they know without being asked to; what is shorter gains nothing by it.
_WORTH_BYTES = 1024
_FAST = 1
_GZIP = 31
_ZLIB = 15
_BARE = -15
# Who compresses in blocks writes a member for each 64 KiB; without end, empty ones would cost more than they say.
_MOST_MEMBERS = 10_000
_PIECE_BYTES = 16 * 1024
# A compressed byte may stand for a thousand.
_MOST_RATIO = 1032


def coding_of(value: str) -> str | None:
    """The coding that a content-encoding header names; None for none. Raises HttpError for another one."""
    name = value.strip().lower()
    if name in ("", "identity"):
        return None
    name = _ALIASES.get(name, name)
    if name not in CODINGS:
        raise HttpError(415, f"expected a content-encoding of {', '.join(CODINGS)} or none, got {value[:40]!r}")
    return name


async def decompressed(body: bytes, coding: str, limit: int, too_large: Callable[[], HttpError]) -> bytes:
    """The body as it was; raises what `too_large` makes where that has more than `limit` bytes."""
    return await sized(min(len(body) * _MOST_RATIO, limit), _decompress, body, coding, limit, too_large)


def _decompress(body: bytes, coding: str, limit: int, too_large: Callable[[], HttpError]) -> bytes:
    wbits = _GZIP if coding == "gzip" else _ZLIB if _has_zlib_header(body) else _BARE
    rest, whole = memoryview(body), bytearray()
    for _ in range(_MOST_MEMBERS):
        decompressor = zlib.decompressobj(wbits)
        while not decompressor.eof:
            if not rest:
                raise HttpError(400, f"expected a whole {coding} body, got one that ends early")
            # In pieces, because zlib copies what it has not used, and a member may be of a few bytes.
            piece, rest = rest[:_PIECE_BYTES], rest[_PIECE_BYTES:]
            try:
                whole += decompressor.decompress(piece, limit + 1 - len(whole))
            except zlib.error as error:
                raise HttpError(400, f"expected a {coding} body, got bytes that do not decompress: {error}") from None
            if len(whole) > limit:
                raise too_large()
        used = len(body) - len(rest) - len(decompressor.unused_data)
        rest = memoryview(body)[used:]
        if not rest or coding != "gzip":
            return bytes(whole)
    raise HttpError(400, f"expected a {coding} body of at most {_MOST_MEMBERS} members, got more")


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0


def accepted(value: str) -> tuple[str | None, int]:
    """What an accept-encoding header asks for: a coding or None, and from how many bytes on.

    Who names one coding alone means it.
    """
    weights: dict[str, float] = {}
    for item in value.lower().split(","):
        name, _, parameter = item.partition(";")
        name = _ALIASES.get(name.strip(), name.strip())
        if name:
            weights[name] = _weight(parameter)
    known = [name for name in CODINGS if weights.get(name, 0) > 0]
    if not known:
        return None, 0
    best = max(known, key=lambda name: weights[name])
    return best, 0 if len(weights) == 1 else _WORTH_BYTES


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


async def compress(response: Response, accept_encoding: str) -> None:
    """Compresses an answer in place where its caller asks for that and it pays."""
    coding, least = accepted(accept_encoding)
    body = bytes(response.body)
    if coding is None or not body or len(body) < least:
        return
    response.body = await sized(len(body), _compress, body, coding)
    response.headers["content-length"] = str(len(response.body))
    response.headers["content-encoding"] = coding
    response.headers.add_vary_header("accept-encoding")


def _compress(body: bytes, coding: str) -> bytes:
    return zlib.compress(body, _FAST, _GZIP if coding == "gzip" else _ZLIB)
