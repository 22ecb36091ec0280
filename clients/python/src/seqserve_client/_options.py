"""How long a call may take and how often it is tried."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from seqserve_client._exceptions import DeadlineExceeded, SeqserveError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """The seconds that a call may take, its retries included; a call's own `deadline` goes before.

    infer: tensors over gRPC.
    upload: files over HTTP.
    status: readiness and metadata.
    """

    infer: float = 10.0
    upload: float = 10.0
    status: float = 10.0

    def __post_init__(self) -> None:
        for name in ("infer", "upload", "status"):
            seconds = getattr(self, name)
            if not seconds > 0:
                raise ValueError(f"{name}: expected seconds above 0. Received: {seconds!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try again: on Unavailable only, and never past the deadline.

    The wait before try n + 1 is drawn evenly from [0, min(longest, first * factor ** (n - 1))] seconds: full
    jitter, so that clients that failed together do not come back together.
    Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    tries: int = 5
    first: float = 0.1
    factor: float = 2.0
    longest: float = 2.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries: expected 1 or more. Received: {self.tries!r}")
        if not (self.first >= 0 and self.factor >= 1 and self.longest >= self.first):
            raise ValueError(f"expected 0 <= first <= longest and factor >= 1. Received: {self!r}")

    def ceiling(self, failed: int) -> float:
        """The longest wait after so many failed tries, in seconds."""
        return min(self.longest, self.first * self.factor ** (failed - 1))


class Tries:
    """Keeps one call's time and decides after each failure whether to go on."""

    def __init__(
        self,
        retry: Retry,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if not seconds > 0:
            raise ValueError(f"deadline: expected seconds above 0. Received: {seconds!r}")
        self._retry = retry
        self._seconds = seconds
        self._clock = clock
        self._uniform = uniform
        self._end = clock() + seconds
        self._failed = 0

    def remaining(self) -> float:
        """The seconds left. Raises DeadlineExceeded when there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise DeadlineExceeded(f"no answer within {self._seconds:g} s")
        return left

    def wait_after(self, error: SeqserveError, cause: Exception | None = None) -> float:
        """The seconds to wait before the next try; raises the error itself where there is none."""
        self._failed += 1
        wait = self._uniform(0, self._retry.ceiling(self._failed))
        spent = self._failed >= self._retry.tries or self._clock() + wait >= self._end
        if spent or not isinstance(error, Unavailable):
            raise error from cause
        return wait
