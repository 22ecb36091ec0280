"""Content codings of bodies: gzip and deflate, in and out."""

import zlib
from collections.abc import Callable
from functools import lru_cache

from starlette.responses import Response

from serving.inflating import MOST_RATIO, Damaged, TooLong, inflated
from serving.offload import sized
from serving.rest.errors import HttpError

CODINGS = ("gzip", "deflate")
_ALIASES = {"x-gzip": "gzip"}
# HTTP libraries name all they know without being asked to; what is shorter gains nothing by it.
_WORTH_BYTES = 1024
_FAST = 1
_GZIP = 31
_ZLIB = 15


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
    try:
        return await sized(min(len(body) * MOST_RATIO, limit), inflated, body, coding, limit)
    except Damaged as error:
        raise HttpError(400, str(error)) from None
    except TooLong:
        raise too_large() from None


@lru_cache(256)  # clients say the same again and again
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
    if coding is not None and len(response.body) >= least:
        await sized(len(response.body), compress_now, response, accept_encoding)


def compress_now(response: Response, accept_encoding: str) -> None:
    """Does so in the calling thread, however long the answer is."""
    coding, least = accepted(accept_encoding)
    body = bytes(response.body)
    if coding is None or not body or len(body) < least:
        return
    response.body = _compress(body, coding)
    response.headers["content-length"] = str(len(response.body))
    response.headers["content-encoding"] = coding
    response.headers.add_vary_header("accept-encoding")


def _compress(body: bytes, coding: str) -> bytes:
    return zlib.compress(body, _FAST, _GZIP if coding == "gzip" else _ZLIB)
