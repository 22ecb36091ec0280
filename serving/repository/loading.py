"""How versions are loaded: so many at once, tried again where the reason may pass, and told of."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from serving import machine
from serving.errors import FailedPrecondition, Overloaded, ServingError, Unavailable
from serving.threads import Slots

if TYPE_CHECKING:
    from serving.servables.servable import Servable  # needs TensorFlow, and this module must import without

# A load that takes longer leaves its slot to others, which may be quicker.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RepositoryEvents:
    """Called in the event loop as versions come and go."""

    loaded: Callable[[str, int, float], None] = lambda model, version, seconds: None
    unloaded: Callable[[str, int], None] = lambda model, version: None
    load_failed: Callable[[str], None] = lambda model: None


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """How versions come and go, for all models alike.

    threads: how many load at once; 0 for one a core, two at least.
    retries: how often a load that failed for outside reasons is tried again.
    retry_seconds: the longest time between two tries; the first ones follow sooner.
    unload_before_load: whether the old version goes before the new one comes, for want of memory.
    servables_vanish: whether a version whose directory has gone is unloaded.
    labels_for_unavailable: whether a new label may name a version that is not loaded.
    limit_seconds: what takes longer to load has failed.
    """

    threads: int = 0
    retries: int = 5
    retry_seconds: float = 60.0
    unload_before_load: bool = False
    servables_vanish: bool = False
    labels_for_unavailable: bool = False
    limit_seconds: float = 3600.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures: an eighth of the longest time at first, then twice as long."""
        return max(0.0, self.retry_seconds) * min(1.0, 2.0 ** (failures - 4))


DEFAULT_POLICY = LoadPolicy()
NO_EVENTS = RepositoryEvents()


Agree = Callable[[str, int, Callable[[], None], Callable[[], bool]], Awaitable[None]]


async def at_once(model: str, version: int, install: Callable[[], None], is_wanted: Callable[[], bool]) -> None:  # noqa: ARG001
    """Nobody else has to be asked when this version may serve."""
    install()


def nothing_waits() -> None:
    """There is nothing to let in, for all that has loaded serves."""


@dataclass(frozen=True, slots=True)
class Loading:
    """What all models share.

    load: makes a servable of (name, version, directory); blocks.
    agree: calls what makes a loaded version serve when it may, and returns; others may have to load it first. Where
        they do not, it returns once the last argument says that it is not wanted here any more, either.
    let_in: makes serve what may serve by now; called before every look at what does.
    turn: entered while a version loads beside one that serves; others may load theirs first.
    started: set when the first loads have ended, well or not; nothing is compiled before, for it would delay them.
    """

    load: Callable[[str, int, Path], Servable]
    policy: LoadPolicy = DEFAULT_POLICY
    events: RepositoryEvents = NO_EVENTS
    agree: Agree = at_once
    let_in: Callable[[], None] = nothing_waits
    grace_seconds: float = 30.0
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    started: threading.Event = field(default_factory=threading.Event)
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        count = self.policy.threads or max(2, machine.cores())
        object.__setattr__(self, "slots", Slots(count, _PATIENCE_SECONDS))


def may_pass(error: Exception) -> bool:
    """Whether the same load may succeed later, with the same files."""
    return isinstance(error, OSError | MemoryError | Unavailable | Overloaded)


def told(error: Exception) -> ServingError:
    """What callers may know of a failed load."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, MemoryError):
        return Overloaded("loading failed: out of memory")
    if isinstance(error, OSError):
        return Unavailable(f"loading failed: {error.strerror or type(error).__name__}")
    return FailedPrecondition(f"loading failed: {type(error).__name__}")
