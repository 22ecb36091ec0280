"""Compressed messages of gRPC.

Source: grpc/doc/compression.md.
"""

import zlib
from collections.abc import Mapping
from typing import Final

from serving.errors import Code
from serving.grpc.calls import Failure
from serving.offload import sized

# What zlib calls the wrapping of each.
_WRAPPING: Mapping[str, int] = {"gzip": 31, "deflate": 15}
ENCODINGS: Final = ("identity", *_WRAPPING)
"""What a client may name in grpc-encoding."""
_GROWTH = 4  # as much longer as numbers usually become


async def unpacked(flag: int, payload: bytes | bytearray, encoding: str, most: int) -> bytes:
    """The message of a payload with this flag, `most` bytes at most. Raises Failure."""
    if flag != 1 or encoding not in _WRAPPING:
        raise Failure(Code.INTERNAL.value, f"expected messages as grpc-encoding says ({encoding}), got flag {flag}")
    return await sized(len(payload) * _GROWTH, _inflated, payload, encoding, most)


def _inflated(payload: bytes | bytearray, encoding: str, most: int) -> bytes:
    inflater = zlib.decompressobj(_WRAPPING[encoding])
    try:
        message = inflater.decompress(payload, most + 1)
    except zlib.error as error:
        raise Failure(Code.INTERNAL.value, f"expected a message in {encoding}, got other bytes: {error}") from None
    if len(message) > most:
        raise Failure(Code.RESOURCE_EXHAUSTED.value, f"Received message larger than max (more vs. {most})")
    if not inflater.eof:
        raise Failure(Code.INTERNAL.value, f"expected a whole message in {encoding}, got a part of one")
    return message
