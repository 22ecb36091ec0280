"""Ends the work on an HTTP request when its caller has gone."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from serving.errors import Code, ServingError

# Answers that come sooner never pay for watching their caller.
_WATCH_AFTER_SECONDS = 0.05


class HungUp(ServingError):
    """The caller has gone; nobody waits for an answer."""

    code = Code.CANCELLED

    def __init__(self) -> None:
        super().__init__("the caller has gone")


class CancelledByHangUp:
    """Cancels the block when the caller hangs up, and then raises HungUp from it.

    The request's body must have been read: what `receive` has to say after it is that the caller has gone.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._hung_up = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._hung_up:
            self._task.uncancel()
            raise HungUp from None

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._hung_up = True
        self._task.cancel()
