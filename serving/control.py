"""What is asked of a server as a whole: its models' states and counts, over all workers as if there were one."""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from itertools import chain
from typing import Any

from serving.errors import Code, FailedPrecondition, InvalidInput, NotFound, ServingError
from serving.peers import Answer, Peers
from serving.peers.orders import OrderBook, Orders
from serving.repository import Repository, State, VersionStatus
from serving.repository.model_config import ModelConfig, parse, to_text
from serving.servables.statistics import ModelStatistics
from serving.servables.statistics import merged as merged_statistics

# How long the others have to say what they know already.
_ANSWER_SECONDS = 2.0
# Where workers are at different points with a version, it counts as being at the first of these that one is at.
_UNTIL_ALL_HAVE_IT = (State.LOADING, State.START, State.UNLOADING, State.END, State.AVAILABLE)


class Control:
    """Speaks for all workers. Whichever of them a call reaches, the answer is the same."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._peers: Peers | None = None
        self._book: OrderBook | None = None

    def join(self, peers: Peers, book: OrderBook) -> None:
        """From now on there are others to ask, and to order about; `enter` lets them ask this one."""
        self._peers = peers
        self._book = book

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What this worker answers to the others' questions, for `Peers`."""
        return {
            "status": self._own_status,
            "statistics": self._own_statistics,
            "index": self._own_index,
            "reload": self._own_reload,
            "load": self._own_load,
            "unload": self._own_unload,
        }

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

    async def index(self) -> Sequence[tuple[str, VersionStatus]]:
        """Every version of every model, the names ascending and the versions descending."""
        theirs = [[(name, _read(status)) for name, status in entries] for entries in await self._ask("index")]
        workers = [_by_name(entries) for entries in (self._repository.index(), *theirs)]
        names = sorted({name for models in workers for name in models})
        return [(name, status) for name in names for status in merged([models.get(name, ()) for models in workers])]

    async def reload(self, configs: Sequence[ModelConfig], deadline: float, *, from_file: bool = False) -> None:
        """Serves these models from now on, and no others; returns when every worker does.

        deadline: on the clock of time.monotonic(), in seconds; the workers go on loading after it.
        from_file: whether the model_config_file says so, rather than a caller.
        Raises what Repository.reconfigure raises.
        """
        async with self._alone(deadline):
            text = to_text(configs)
            own = self._repository.reconfigure(configs, deadline)
            orders = Orders(config=text, file=text if from_file else self._orders().file)
            await self._order(orders, own, "reload", deadline, config=text)

    async def load(self, model: str, deadline: float) -> None:
        """Loads a model again that was unloaded, has failed or has changed; raises what Repository.load raises."""
        async with self._alone(deadline):
            orders = self._orders()
            kept = orders.model_copy(update={"unloaded": orders.unloaded - {model}})
            await self._order(kept, self._repository.load(model, deadline), "load", deadline, model=model)

    async def unload(self, model: str, deadline: float) -> None:
        """Unloads every version of a model, until `load`; raises what Repository.unload raises."""
        async with self._alone(deadline):
            orders = self._orders()
            kept = orders.model_copy(update={"unloaded": orders.unloaded | {model}})
            await self._order(kept, self._repository.unload(model, deadline), "unload", deadline, model=model)

    async def enter(self, deadline: float) -> None:
        """Joins the workers that are there already, and carries out what they were ordered meanwhile."""
        if self._peers is None:
            return
        async with self._alone(deadline):
            orders = self._orders()
            if orders.config is not None:
                with suppress(ServingError):  # its status tells; the others have it too
                    await self._repository.reconfigure(parse(orders.config), deadline, at_start=True)
            for model in orders.unloaded:
                with suppress(ServingError):
                    await self._repository.unload(model, deadline)
            await self._peers.start()

    def _alone(self, deadline: float) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._book is None else self._book.alone(deadline)

    def _orders(self) -> Orders:
        return Orders() if self._book is None else self._book.read()

    async def _order(
        self, orders: Orders, own: Coroutine[Any, Any, None], question: str, deadline: float, **arguments: Any
    ) -> None:
        """Has every worker do it at once; what this one raises comes first."""
        before = self._orders()
        if self._book is not None:  # first, for whoever is killed meanwhile comes back among others who obey
            self._book.write(orders)
        others: list[Awaitable[Any]] = []
        if self._peers is not None:
            # Each ends at `deadline` itself; what it says then must still arrive.
            arguments["seconds"] = deadline - time.monotonic()
            others.append(self._peers.ask(question, deadline + _ANSWER_SECONDS, **arguments))
        results = await asyncio.gather(own, *others, return_exceptions=True)
        refused = isinstance(results[0], InvalidInput | FailedPrecondition | NotFound)
        if self._book is not None and refused:
            self._book.write(before)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _own_index(self, _: Mapping[str, Any]) -> Any:
        return [[name, _written(status)] for name, status in self._repository.index()]

    async def _own_reload(self, arguments: Mapping[str, Any]) -> None:
        await self._repository.reconfigure(parse(arguments["config"]), time.monotonic() + arguments["seconds"])

    async def _own_load(self, arguments: Mapping[str, Any]) -> None:
        await self._repository.load(arguments["model"], time.monotonic() + arguments["seconds"])

    async def _own_unload(self, arguments: Mapping[str, Any]) -> None:
        await self._repository.unload(arguments["model"], time.monotonic() + arguments["seconds"])

    async def _own_status(self, arguments: Mapping[str, Any]) -> Any:
        try:
            statuses = self._repository.statuses(arguments["model"], arguments["version"])
        except NotFound:
            return []
        return [_written(status) for status in statuses]

    async def _ask(self, question: str, **arguments: Any) -> list[Any]:
        """What the others say."""
        if self._peers is None:
            return []
        answers = await self._peers.ask(question, time.monotonic() + _ANSWER_SECONDS, **arguments)
        return list(answers.values())


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


def _by_name(entries: Iterable[tuple[str, VersionStatus]]) -> Mapping[str, Sequence[VersionStatus]]:
    models: dict[str, list[VersionStatus]] = {}
    for name, status in entries:
        models.setdefault(name, []).append(status)
    return models


def _written(status: VersionStatus) -> list[Any]:
    return [status.version, status.state.value, status.code.value, status.message]


def _read(written: Sequence[Any]) -> VersionStatus:
    version, state, code, message = written
    return VersionStatus(version, State(state), Code(code), message)
