"""All workers of a server begin to serve a new version at one instant.

Each loads it at its own pace. When all are done, the one of them with the lowest number names an instant a little
ahead, on the clock that all processes of a machine share; whoever is asked after it answers with the new version,
whichever worker that is. So no caller who has seen the new version meets the old one again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import ServingError
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
        self._prepared: set[tuple[str, int]] = set()
        self._instants: dict[tuple[str, int], float] = {}
        self._named = asyncio.Event()  # replaced when it is set

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
        self._prepared.add(which)
        try:
            limit = time.monotonic() + self._patience
            while time.monotonic() < limit:
                if which in self._instants:
                    return self._instants[which]
                asked = time.monotonic()
                if await self._leads(model, version):
                    return await self._name(model, version, time.monotonic() - asked)
                if which in self._instants:
                    continue  # it came meanwhile
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._named.wait(), _POLL_SECONDS)
            _log.warning("version %d of %s serves in this worker first: others are still loading", version, model)
            return time.monotonic()
        finally:
            self._prepared.discard(which)
            self._instants.pop(which, None)

    async def _leads(self, model: str, version: int) -> bool:
        """Whether nobody is still loading it, and nobody with a lower number has loaded it."""
        assert self._peers is not None
        points = await self._ask("point", model=model, version=version)
        return not any(
            point == _LOADING or (point == _PREPARED and number < self._peers.number)
            for number, point in points.items()
        )

    async def _name(self, model: str, version: int, trip: float) -> float:
        """Tells the others an instant, as far ahead as suits the seconds that the last question to them took."""
        assert self._peers is not None
        if not self._peers.pids():
            return time.monotonic()
        at = time.monotonic() + min(max(_LEAST_AHEAD_SECONDS, _AHEAD_TRIPS * trip), _MOST_AHEAD_SECONDS)
        await self._ask("switch", model=model, version=version, at=at)
        return at

    async def _ask(self, question: str, **arguments: Any) -> Mapping[int, Any]:
        assert self._peers is not None
        try:
            return await self._peers.ask(question, time.monotonic() + _ANSWER_SECONDS, **arguments)
        except ServingError as error:  # one that hangs must not keep the others from a new version
            _log.warning("agreeing on a new version without a worker: %s", error.message)
            return {}

    async def _point(self, arguments: Mapping[str, Any]) -> str:
        which = (arguments["model"], arguments["version"])
        if which in self._prepared:
            return _PREPARED
        return _LOADING if self._concerned(*which) else _UNCONCERNED

    async def _switch(self, arguments: Mapping[str, Any]) -> None:
        which = (arguments["model"], arguments["version"])
        if which in self._prepared:
            self._instants[which] = arguments["at"]
            self._named.set()
            self._named = asyncio.Event()
