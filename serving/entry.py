"""By which door a request came in, and when: what is told of it once it has been answered."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType

Served = Callable[[str, str, str, float], None]


class Entry:
    """One request between its arrival and its answer: what is in the block is done for it.

    api: the method that was called. entrypoint: the protocol that it came by. seconds: in which it must be answered.
    deadline: when that is over, on the clock of time.monotonic(). None of either is the engine's own limit.
    """

    __slots__ = ("_model", "_served", "_token", "api", "began", "deadline", "entrypoint")

    def __init__(self, api: str, entrypoint: str, seconds: float | None = None) -> None:
        self.api = api
        self.entrypoint = entrypoint
        self.began = time.monotonic()
        self.deadline = None if seconds is None else self.began + seconds
        self._served: Served | None = None
        self._model = ""

    def answered(self, model: str, served: Served) -> None:
        """The model has answered; when the answer has gone out, `served` gets model, api, entrypoint and seconds."""
        self._model = model
        self._served = served

    def __enter__(self) -> "Entry":
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        if kind is None and self._served is not None:
            self._served(self._model, self.api, self.entrypoint, time.monotonic() - self.began)


_current: ContextVar[Entry | None] = ContextVar("entry", default=None)


def current() -> Entry | None:
    """The request that this task works for."""
    return _current.get()
