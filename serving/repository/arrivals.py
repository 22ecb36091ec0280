"""Versions that are ready, and wait for the instant from which they serve."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

_EARLY_SECONDS = 0.001  # event loops wake sleepers so much too soon


@dataclass(frozen=True, eq=False, slots=True)
class _Arrival:
    instant: float
    install: Callable[[], None]


class Arrivals:
    """Lets each in as soon as anybody looks after its instant: a busy event loop alone would be late."""

    def __init__(self) -> None:
        self._waiting: list[_Arrival] = []

    def let_in(self) -> None:
        """Installs what is due."""
        if not self._waiting:
            return
        now = time.monotonic()
        for arrival in [arrival for arrival in self._waiting if arrival.instant <= now]:
            self._waiting.remove(arrival)
            arrival.install()

    async def wait(self, instant: float, install: Callable[[], None], abandon: Callable[[], None]) -> None:
        """Returns when `install` was called, at `instant` on the clock of time.monotonic() or a little later.

        abandon: called instead where the wait is cancelled before.
        """
        arrival = _Arrival(instant, install)
        self._waiting.append(arrival)
        try:
            while arrival in self._waiting:
                await asyncio.sleep(max(instant - time.monotonic(), _EARLY_SECONDS))
                self.let_in()
        except asyncio.CancelledError:
            if arrival in self._waiting:
                self._waiting.remove(arrival)
                abandon()
            raise
