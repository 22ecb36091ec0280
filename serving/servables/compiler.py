"""A queue of compilations: one at a time, the most urgent first, beside the traffic."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue

_log = logging.getLogger(__name__)
_LATER_SECONDS = 0.05
_Job = tuple[float, int, Callable[[], object], "Future[None]"]


class NotNow(Exception):
    """Raised by a job that is to be tried again when another one is done, or in a moment."""


class Compiler:
    """Runs what is submitted in a thread of its own. Compiling takes seconds, so `close` waits for one job at most.

    may_begin: set when jobs may run; at once where there is none.
    """

    def __init__(self, may_begin: threading.Event | None = None) -> None:
        self._may_begin = may_begin
        self._jobs: PriorityQueue[_Job] = PriorityQueue()
        self._order = count()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, job: Callable[[], object], *, urgency: float) -> "Future[None]":
        """Queues a job; lower urgency numbers run first, equal ones in order. Its failure is logged, not raised.

        A job whose future is cancelled before its turn is left out.
        """
        done: Future[None] = Future()
        if self._closed:
            done.cancel()
            return done
        self._jobs.put((urgency, next(self._order), job, done))
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="compiler")
                self._thread.start()
        return done

    def close(self) -> None:
        """Drops what has not begun. Returns at once; the job that runs is let finish."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put((float("-inf"), next(self._order), lambda: None, Future()))

    def _work(self) -> None:
        put_off: list[_Job] = []
        while not (self._closed or self._may_begin is None or self._may_begin.wait(_LATER_SECONDS)):
            pass
        while not self._closed:
            if put_off and self._jobs.empty():
                time.sleep(_LATER_SECONDS)
                self._resume(put_off)
            urgency, order, job, done = self._jobs.get()
            if self._closed:
                _drop(done)
                break
            if not done.running() and not done.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                job()
            except NotNow:
                put_off.append((urgency, order, job, done))
                continue
            except Exception:
                _log.exception("a compilation failed")
            done.set_result(None)
            self._resume(put_off)
        self._resume(put_off)
        while not self._jobs.empty():
            _drop(self._jobs.get()[3])

    def _resume(self, put_off: list[_Job]) -> None:
        for item in put_off:
            self._jobs.put(item)
        put_off.clear()


def _drop(done: "Future[None]") -> None:
    """Lets whoever waits for a job that will not be done go on."""
    if not done.cancel():
        done.set_result(None)  # it was tried, and put off
