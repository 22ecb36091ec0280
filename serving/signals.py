"""From the signal to stop until the end of the process."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

_PARENT_POLL_SECONDS = 1.0
_PARENT = os.getppid()  # as early as this is imported: it may be gone when there is a loop to watch it from


class StopSignals:
    """Puts a drain before what SIGTERM and SIGINT do otherwise, and a limit on all of it.

    The handlers that stand when this is made run once `drain` has returned. A second SIGINT ends the process at
    once; so does the end of `grace` seconds, with exit code 0, whatever still runs.
    """

    def __init__(self, drain: Callable[[], Awaitable[None]], grace: float) -> None:
        self._drain = drain
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._interrupts = 0
        self._draining: asyncio.Task[None] | None = None
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in self._before:
            signal.signal(number, self._received)

    def _received(self, number: int, _: FrameType | None) -> None:
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            os._exit(128 + signal.SIGINT)
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        if self._draining is None:
            # A thread, so that not even a blocked event loop outlives it.
            limit = threading.Timer(self._grace, _end)
            limit.daemon = True
            limit.start()
            self._draining = asyncio.create_task(self._drain_then(number))

    async def _drain_then(self, number: int) -> None:
        try:
            await self._drain()
        finally:
            before = self._before[signal.Signals(number)]
            if callable(before):
                before(number, None)


def _end() -> None:
    print("seqserve: the grace period is over; ending with requests unanswered", file=sys.stderr, flush=True)
    os._exit(0)


async def stop_with_parent() -> None:
    """Sends this process SIGTERM when the one that started it has gone: nobody else would end it."""
    while os.getppid() == _PARENT:
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
