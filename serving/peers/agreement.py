"""All workers of a server begin to serve a new version at one instant.

Each loads it at its own pace. When all are done, the one of them with the lowest number names an instant a little
ahead, on the clock that all processes of a machine share; whoever is asked after it answers with the new version,
whichever worker that is. So no caller who has seen the new version meets the old one again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.peers.peers import Answer, Peers

_log = logging.getLogger(__name__)
# From naming the instant until it comes the others must have heard of it; busy workers hear late.
_LEAST_AHEAD_SECONDS = 0.1
_MOST_AHEAD_SECONDS = 2.0
_AHEAD_TRIPS = 5
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 2.0
# How long a worker waits for others that are still loading, or are not even aware that there is something to load.
_PATIENCE_SECONDS = 60.0
# Where a worker can be with a version.
_LOADING, _PREPARED, _UNCONCERNED = "loading", "prepared", "unconcerned"


class Agreement:
    """One worker's part.

    concerned: whether this worker will have (model, version) later, or may: then the others wait for it.
    """

    def __init__(self, concerned: Callable[[str, int], bool], *, patience: float = _PATIENCE_SECONDS) -> None:
        self._concerned = concerned
        self._patience = patience
        self._peers: Peers | None = None
        self._prepared: dict[tuple[str, int], asyncio.Future[float]] = {}
        self._telling: set[asyncio.Task[Mapping[int, Any]]] = set()

    def join(self, peers: Peers) -> None:
        """From now on there are others to agree with."""
        self._peers = peers

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What this worker answers to the others' questions, for `Peers`."""
        return {"point": self._point, "switch": self._switch}

    async def instant(self, model: str, version: int) -> float:
        """When (model, version), which this worker has loaded, shall serve: on the clock of time.monotonic().

        Returns when every other worker has loaded it too, has failed to, or has kept this one waiting for too long.
        """
        if self._peers is None:
            return time.monotonic()
        which = (model, version)
        named: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._prepared[which] = named
        try:
            limit = time.monotonic() + self._patience
            while time.monotonic() < limit:
                asked = time.monotonic()
                asking = asyncio.create_task(self._leads(model, version))
                # Whoever is busy hears late, so it must not wait for an answer before it listens.
                either: set[asyncio.Future[Any]] = {named, asking}
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not asking.done():
                        asking.cancel()
                if named.done():
                    return named.result()
                if asking.result():
                    return self._name(model, version, time.monotonic() - asked)
                await asyncio.wait({named}, timeout=_POLL_SECONDS)
                if named.done():
                    return named.result()
            _log.warning("version %d of %s serves in this worker first: others are still loading", version, model)
            return time.monotonic()
        finally:
            if self._prepared.get(which) is named:  # else the model came anew meanwhile
                del self._prepared[which]

    async def _leads(self, model: str, version: int) -> bool:
        """Whether nobody is still loading it, and nobody with a lower number has loaded it."""
        assert self._peers is not None
        points = await self._ask("point", model=model, version=version)
        return not any(
            point == _LOADING or (point == _PREPARED and number < self._peers.number)
            for number, point in points.items()
        )

    def _name(self, model: str, version: int, trip: float) -> float:
        """Tells the others an instant, as far ahead as suits the seconds that the last question to them took."""
        assert self._peers is not None
        if not self._peers.pids():
            return time.monotonic()
        at = time.monotonic() + min(max(_LEAST_AHEAD_SECONDS, _AHEAD_TRIPS * trip), _MOST_AHEAD_SECONDS)
        # Without waiting for what they say to it: this worker must not be late itself.
        telling = asyncio.create_task(self._ask("switch", model=model, version=version, at=at))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        return at

    async def _ask(self, question: str, **arguments: Any) -> Mapping[int, Any]:
        """The answers of those that answer: one that hangs must not keep the others from a new version."""
        assert self._peers is not None
        return await self._peers.ask(question, time.monotonic() + _ANSWER_SECONDS, lenient=True, **arguments)

    async def _point(self, arguments: Mapping[str, Any]) -> str:
        which = (arguments["model"], arguments["version"])
        if which in self._prepared:
            return _PREPARED
        return _LOADING if self._concerned(*which) else _UNCONCERNED

    async def _switch(self, arguments: Mapping[str, Any]) -> None:
        named = self._prepared.get((arguments["model"], arguments["version"]))
        if named is not None and not named.done():
            named.set_result(arguments["at"])
