"""Threads beside the event loop: each call that blocks has its own, so that one that hangs keeps no other waiting."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serving.errors import Internal

_T = TypeVar("_T")
_NICE = 10
_SHORT_SECONDS = 0.0001


async def in_thread(
    call: Callable[..., _T], *arguments: Any, name: str, discard: Callable[[_T], object] = lambda result: None
) -> _T:
    """What call(*arguments) returns or raises.

    A caller who goes leaves the thread running; `discard` then gets the result, in the event loop.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            result = call(*arguments)
        except BaseException as error:  # whatever a model's files make of this thread must not end the process
            settle: Callable[[asyncio.Future[_T]], None] = _failing(
                error if isinstance(error, Exception) else Internal(f"{name} ended by {error!r}")
            )
        else:
            settle = _succeeding(result, discard)
        with contextlib.suppress(RuntimeError):  # the event loop has closed
            loop.call_soon_threadsafe(settle, done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def _failing(error: Exception) -> "Callable[[asyncio.Future[_T]], None]":
    return lambda done: None if done.done() else done.set_exception(error)


def _succeeding(result: _T, discard: Callable[[_T], object]) -> "Callable[[asyncio.Future[_T]], None]":
    def settle(done: "asyncio.Future[_T]") -> None:
        if done.done():
            discard(result)
        else:
            done.set_result(result)

    return settle


def with_low_priority(call: Callable[..., _T], *arguments: Any) -> _T:
    """What call(*arguments) returns or raises, while other work goes first (on Linux; elsewhere at its own pace).

    For work outside Python only: a thread that holds the interpreter's lock and has to wait for a processor would
    keep every other one waiting.
    """
    # A thread can lower its priority, but not raise it again; those that it starts have the same.
    with ThreadPoolExecutor(1, initializer=_lower_priority) as executor:
        return executor.submit(call, *arguments).result()


def _lower_priority() -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def forget_imports() -> None:
    """Once all modules are imported: what they hold is never looked through for garbage again.

    TensorFlow's objects alone would take 200 ms, in which nothing is answered.
    """
    gc.collect()
    gc.freeze()


class ShortTurns:
    """While anybody is in this block, a thread that computes in Python lets others in after 0.1 ms instead of 5.

    Answers hardly slow down then beside a load; all the time it would cost throughput.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._counting = threading.Lock()
        self._usual = sys.getswitchinterval()

    def __enter__(self) -> None:
        with self._counting:
            self._inside += 1
            sys.setswitchinterval(_SHORT_SECONDS)

    def __exit__(self, *_: object) -> None:
        with self._counting:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._usual)


short_turns = ShortTurns()
"""The process has one interpreter, so that it has one of these."""


class Slots:
    """Lets so many through at once; who stays longer than `patience` seconds no longer counts."""

    def __init__(self, count: int, patience: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._patience = patience

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        await self._free.acquire()
        held = [True]

        def give() -> None:
            if held:
                held.clear()
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._patience, give)
        try:
            yield
        finally:
            timer.cancel()
            give()
