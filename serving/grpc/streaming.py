"""Answers to the requests of one stream, in their order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from serving.errors import Unavailable

# Requests of one stream that are worked on or wait to be sent; beyond, the caller's messages stay in its own queue.
MOST_IN_FLIGHT = 32

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


async def answered_in_order(
    requests: AsyncIterator[_Request],
    answer: Callable[[_Request], Coroutine[Any, Any, _Answer]],
    closing: asyncio.Event,
    *,
    most_in_flight: int = MOST_IN_FLIGHT,
) -> AsyncIterator[_Answer]:
    """Works on several requests at once, and yields each answer when those before it have been sent.

    answer: must not raise. It begins with each request in the order in which they came.
    closing: from when it is set no more requests are read, and Unavailable is raised after the last answer.
    What `requests` raises is raised after the answers to those before it.
    """
    working: asyncio.Queue[asyncio.Task[_Answer] | None] = asyncio.Queue()
    room = asyncio.Semaphore(most_in_flight - 1)

    async def read() -> None:
        try:
            async for request in requests:
                working.put_nowait(asyncio.create_task(answer(request)))
                await room.acquire()
        finally:
            working.put_nowait(None)

    reader = asyncio.create_task(read())
    closer = asyncio.create_task(closing.wait())
    closer.add_done_callback(lambda _: reader.cancel())
    try:
        while (task := await working.get()) is not None:
            yield await task
            room.release()
        if closing.is_set():
            raise Unavailable("the server is stopping; another replica will do")
        await reader
    finally:
        closer.cancel()
        while not working.empty():
            if (task := working.get_nowait()) is not None:
                task.cancel()
        await asyncio.wait({reader, closer})
        if not reader.cancelled():
            reader.exception()  # raised above, or nobody is there any more to hear of it
