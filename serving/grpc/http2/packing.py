"""Compressed messages of gRPC.

Source: grpc/doc/compression.md.
"""

from typing import Final

from serving.errors import Code
from serving.grpc.calls import Failure
from serving.inflating import MOST_RATIO, Damaged, TooLong, inflated
from serving.offload import sized

ENCODINGS: Final = ("identity", "gzip", "deflate")
"""What a client may name in grpc-encoding."""


async def unpacked(flag: int, payload: bytes | bytearray, encoding: str, most: int) -> bytes:
    """The message of a payload with this flag, `most` bytes at most. Raises Failure."""
    if flag != 1 or encoding not in ENCODINGS[1:]:
        raise Failure(Code.INTERNAL.value, f"expected messages as grpc-encoding says ({encoding}), got flag {flag}")
    try:
        return await sized(min(len(payload) * MOST_RATIO, most), inflated, payload, encoding, most)
    except Damaged as error:
        raise Failure(Code.INTERNAL.value, str(error)) from None
    except TooLong:
        raise Failure(Code.RESOURCE_EXHAUSTED.value, f"Received message larger than max (more vs. {most})") from None
