"""What is asked of a server as a whole: its models' states and counts, over all workers as if there were one."""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from serving.errors import Code, NotFound
from serving.peers import Answer, Peers
from serving.repository import Repository, State, VersionStatus
from serving.statistics import ModelStatistics
from serving.statistics import merged as merged_statistics

# How long the others have to say what they know already.
_ANSWER_SECONDS = 2.0
# Where workers are at different points with a version, it counts as being at the first of these that one is at.
_UNTIL_ALL_HAVE_IT = (State.LOADING, State.START, State.UNLOADING, State.END, State.AVAILABLE)


class Control:
    """Speaks for all workers. Whichever of them a call reaches, the answer is the same."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._peers: Peers | None = None

    def join(self, peers: Peers) -> None:
        """From now on there are others to ask."""
        self._peers = peers

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What this worker answers to the others' questions, for `Peers`."""
        return {"status": self._own_status, "statistics": self._own_statistics}

    async def status(self, model: str, version: int | None = None, label: str | None = None) -> Sequence[VersionStatus]:
        """The known versions of a model, newest first; AVAILABLE only where every worker has it.

        Raises NotFound where none knows any.
        """
        if label is not None:
            version = self._repository.get(model, label=label).version
        if self._peers is None:
            return self._repository.statuses(model, version)
        theirs = await self._ask("status", model=model, version=version)
        try:
            own = self._repository.statuses(model, version)
        except NotFound:
            if not any(theirs):
                raise
            own = ()
        return merged([own, *([_read(status) for status in statuses] for statuses in theirs)])

    async def statistics(self, model: str = "", version: int | None = None) -> Sequence[ModelStatistics]:
        """What the loaded versions of every model, or of one, have answered; raises NotFound or FailedPrecondition."""
        if model:
            self._repository.get(model, version)
        theirs = await self._ask("statistics", model=model, version=version)
        return merged_statistics(chain(self._counted(model, version), *theirs))

    def _counted(self, model: str, version: int | None) -> list[dict[str, Any]]:
        return [
            servable.statistics.snapshot()
            for servable in self._repository.servables()
            if model in ("", servable.name) and version in (None, servable.version)
        ]

    async def _own_statistics(self, arguments: Mapping[str, Any]) -> Any:
        return self._counted(arguments["model"], arguments["version"])

    async def _own_status(self, arguments: Mapping[str, Any]) -> Any:
        if not self._repository.is_started:
            return None  # it takes no requests yet, so that its states are nobody's business
        try:
            statuses = self._repository.statuses(arguments["model"], arguments["version"])
        except NotFound:
            return []
        return [_written(status) for status in statuses]

    async def _ask(self, question: str, **arguments: Any) -> list[Any]:
        """What the others that have started say."""
        if self._peers is None:
            return []
        answers = await self._peers.ask(question, time.monotonic() + _ANSWER_SECONDS, **arguments)
        return [answer for answer in answers.values() if answer is not None]


def merged(workers: Iterable[Sequence[VersionStatus]]) -> Sequence[VersionStatus]:
    """One status for each version, newest first; what went wrong in one worker is told of all."""
    states: dict[int, list[VersionStatus]] = {}
    count = 0
    for statuses in workers:
        count += 1
        for status in statuses:
            states.setdefault(status.version, []).append(status)
    return [_merged(states[version], count) for version in sorted(states, reverse=True)]


def _merged(statuses: Sequence[VersionStatus], workers: int) -> VersionStatus:
    first = min(statuses, key=lambda status: (_UNTIL_ALL_HAVE_IT.index(status.state), status.code is Code.OK))
    if len(statuses) < workers and first.state is State.AVAILABLE:
        return VersionStatus(first.version, State.LOADING)  # others have not even seen it
    return first


def _written(status: VersionStatus) -> list[Any]:
    return [status.version, status.state.value, status.code.value, status.message]


def _read(written: Sequence[Any]) -> VersionStatus:
    version, state, code, message = written
    return VersionStatus(version, State(state), Code(code), message)
