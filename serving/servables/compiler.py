"""A queue of compilations: one at a time, the most urgent first, beside the traffic."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue

_log = logging.getLogger(__name__)
_Job = tuple[float, int, Callable[[], object], "Future[None]"]


class Compiler:
    """Runs what is submitted in a thread of its own. Compiling takes seconds, so `close` waits for one job at most."""

    def __init__(self) -> None:
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
        while not self._closed:
            _, _, job, done = self._jobs.get()
            if self._closed:
                done.cancel()
                break
            if not done.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                job()
            except Exception:
                _log.exception("a compilation failed")
            done.set_result(None)
        while not self._jobs.empty():
            self._jobs.get()[3].cancel()
