"""Ends the wait of requests whose time has passed, with one timer for all of them."""

import asyncio
import math
import time
from collections.abc import Iterable

from serving.errors import DeadlineExceeded
from serving.servables.queue import Job


class Deadlines:
    """The jobs that somebody waits for. A timer for each would cost more than the wait."""

    def __init__(self) -> None:
        self._jobs: set[Job] = set()
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: Job) -> None:
        """From now on the job fails at its deadline."""
        self._jobs.add(job)
        if job.deadline < self._next:
            self._wake(job.deadline)

    def remove(self, job: Job) -> None:
        """Nobody waits for it any more."""
        self._jobs.discard(job)

    def remove_all(self, jobs: Iterable[Job]) -> None:
        """Nobody waits for these any more."""
        self._jobs.difference_update(jobs)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        self._timer = asyncio.get_running_loop().call_later(at - time.monotonic(), self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for job in [job for job in self._jobs if job.deadline <= now]:
            self._jobs.remove(job)
            job.fail(DeadlineExceeded("the deadline passed before the answer was ready"))
        self._timer, self._next = None, math.inf
        if self._jobs:
            self._wake(min(job.deadline for job in self._jobs))
