"""Work on large bodies, kept off the event loop."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LARGE_BYTES = 256 * 1024

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def sized(nbytes: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `work`, in a thread where it has many bytes to go through and others would wait for it.

    A thread costs a small request more than it brings. What runs as one call into C that keeps the interpreter's
    lock (orjson, numpy's reading of lists) still holds others up for as long as that call.
    """
    if nbytes > LARGE_BYTES:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
