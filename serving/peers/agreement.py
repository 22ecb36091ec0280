"""All workers of a server begin to serve a new version at once.

Each loads it at its own pace. When all are done, the one of them with the lowest number writes down the switch, where
each of them looks whenever somebody asks for a version. So no caller who has seen the new version meets the old one
again, in whichever worker; one that was stopped since it had loaded the version answers with it when it goes on.

Where versions come fast, one worker may pass over what another has loaded. That one then passes it over, too, as soon
as it has seen a newer one: to serve it would be to be ahead of the first, and then behind.

Left out, and serving the old version until they have loaded the new one themselves, are workers that fail to load it,
that say for a minute that they are still loading, or that say nothing at all for ten seconds before they are done.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serving.peers.peers import Answer, Peers
from serving.peers.switches import Switches, key_of

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.02
# How long a worker waits for others that are still loading, or are not even aware that there is something to load.
_PATIENCE_SECONDS = 60.0
# And for one that does not answer. On a busy machine it takes its time; one that hangs must not keep the others.
_SILENCE_SECONDS = 10.0
# Where a worker can be with a version.
_LOADING, _PREPARED, _BEYOND, _UNCONCERNED = "loading", "prepared", "beyond", "unconcerned"


@dataclass(frozen=True, eq=False, slots=True)
class _Arrival:
    """A version that is loaded and waits; what it waits for is a switch after the first `since`."""

    which: tuple[str, int]
    since: int
    install: Callable[[], None]
    is_wanted: Callable[[], bool]
    came: asyncio.Future[None]


class Agreement:
    """One worker's part. Its methods are called in the event loop.

    switches: where the workers write down what all have switched to.
    concerned: whether this worker will have (model, version) later, or may: then the others wait for it.
    passes_over: whether it will go from an older version to a newer one without it: then the others must not have it.
    patience, silence: how many seconds it waits for others that are loading, and for one that does not answer.
    """

    def __init__(
        self,
        switches: Switches,
        concerned: Callable[[str, int], bool],
        passes_over: Callable[[str, int], bool] = lambda model, version: False,
        *,
        patience: float = _PATIENCE_SECONDS,
        silence: float = _SILENCE_SECONDS,
    ) -> None:
        self._switches = switches
        self._concerned = concerned
        self._passes_over = passes_over
        self._patience = patience
        self._silence = silence
        self._peers: Peers | None = None
        self._arrivals: list[_Arrival] = []

    def join(self, peers: Peers) -> None:
        """From now on there are others to agree with."""
        self._peers = peers

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What this worker answers to the others' questions, for `Peers`."""
        return {"point": self._point}

    def let_in(self) -> None:
        """Installs what has been switched to; to be called before every look at what serves."""
        if self._switches.is_rung():
            self._read()

    async def agree(self, model: str, version: int, install: Callable[[], None], is_wanted: Callable[[], bool]) -> None:
        """Returns when `install` was called: once all workers switch to (model, version), which this one has loaded.

        That is when every other worker has loaded it too, has failed to, or has kept this one waiting for too long.
        Returns without a call where another worker passes it over, and this one does not want it any more, either.
        Raises OSError, and has not called `install`, where the switch cannot be written down.
        """
        self._read()  # a switch to what had this number before is none to this
        came = asyncio.get_running_loop().create_future()
        arrival = _Arrival((model, version), self._switches.count, install, is_wanted, came)
        self._arrivals.append(arrival)
        leading = asyncio.create_task(self._lead(arrival))
        try:
            while not came.done() and not leading.done():
                await asyncio.wait({came, leading}, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._read()
            if not came.done():
                await leading  # it failed, or need not come
        finally:
            leading.cancel()
            if arrival in self._arrivals:
                self._arrivals.remove(arrival)

    def _read(self) -> None:
        """Lets in what the others have switched to, too, if one ended before it could ring."""
        for key in self._switches.read():
            for arrival in [arrival for arrival in self._arrivals if key_of(*arrival.which) == key]:
                self._arrivals.remove(arrival)
                arrival.install()
                arrival.came.set_result(None)

    async def _lead(self, arrival: _Arrival) -> None:
        """Makes the switch when it is this worker's to make. Where two come to think so, the first one's counts."""
        limit = time.monotonic() + self._patience
        while not self._may_lead(points := await self._points(*arrival.which)):
            if _BEYOND in points.values() and not arrival.is_wanted():
                return
            if time.monotonic() >= limit:
                model, version = arrival.which
                _log.warning("version %d of %s serves while other workers are still loading it", version, model)
                break
            await asyncio.sleep(_POLL_SECONDS)
        self._read()
        if not arrival.came.done():
            self._switches.make(key_of(*arrival.which), arrival.since)
            self._read()

    async def _points(self, model: str, version: int) -> Mapping[int, str]:
        """Where the others are with it. Who does not answer is left out."""
        if self._peers is None:
            return {}
        deadline = time.monotonic() + self._silence
        return await self._peers.ask("point", deadline, lenient=True, model=model, version=version)

    def _may_lead(self, points: Mapping[int, str]) -> bool:
        """Whether nobody is still on the way, and nobody with a lower number has loaded it."""
        return not any(
            point in (_LOADING, _BEYOND)
            or (point == _PREPARED and self._peers is not None and number < self._peers.number)
            for number, point in points.items()
        )

    async def _point(self, arguments: Mapping[str, Any]) -> str:
        which = (arguments["model"], arguments["version"])
        self._read()
        if any(arrival.which == which for arrival in self._arrivals):
            return _PREPARED
        if self._concerned(*which):
            return _LOADING
        return _BEYOND if self._passes_over(*which) else _UNCONCERNED
