"""All models: which there are, which version answers a request, and how both are changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import (
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    NotLoaded,
    Unavailable,
    UnknownServable,
)
from serving.repository.labels import Labels
from serving.repository.loading import (
    DEFAULT_POLICY,
    NO_EVENTS,
    Agree,
    Loading,
    LoadPolicy,
    RepositoryEvents,
    at_once,
    nothing_waits,
)
from serving.repository.model import Model
from serving.repository.model_config import ModelConfig
from serving.repository.status import State, VersionStatus
from serving.repository.storage import Store, models_in
from serving.repository.stores import open_store
from serving.threads import in_thread

if TYPE_CHECKING:
    from serving.servables.servable import Servable  # needs TensorFlow, and this module must import without

NO_VERSION = -1
"""Stands in `index` for a model of which no version was tried."""

_log = logging.getLogger(__name__)
_SHOWN = 200
_EARLY_SECONDS = 0.005  # event loops wake sleepers too soon, and two looks at once would be one


class Repository:
    """Serves versions of models, and goes on looking for new ones.

    source: a directory of models, looked at again and again; or a fixed set of models, until `reconfigure`.
    load: makes a servable of (name, version, directory); blocks; runs in a thread.
    poll_seconds: time between looks at the directories; 0 for only one look.
    agree: calls what makes a loaded (name, version) serve when it may, and returns; see Loading.
    let_in: makes serve what may serve by now; called before every look at what does.
    turn: entered while a version loads beside one that serves.
    cache: where copies of remote versions go.
    """

    def __init__(
        self,
        source: Path | Mapping[str, Path] | Sequence[ModelConfig],
        load: Callable[[str, int, Path], Servable],
        *,
        poll_seconds: float = 1.0,
        grace_seconds: float = 30.0,
        policy: LoadPolicy = DEFAULT_POLICY,
        events: RepositoryEvents = NO_EVENTS,
        agree: Agree = at_once,
        let_in: Callable[[], None] = nothing_waits,
        turn: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
        cache: Path | None = None,
    ) -> None:
        if isinstance(source, Mapping):
            source = [ModelConfig(name, str(folder)) for name, folder in source.items()]
        self._base = source if isinstance(source, Path) else None
        self._given = () if isinstance(source, Path) else tuple(source)
        self._labels = Labels(self._given)
        self._poll_seconds = poll_seconds
        self._loading = Loading(load, policy, events, agree, let_in, grace_seconds, turn)
        self._cache = cache
        self._models: dict[str, Model] = {}
        self._started = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Loads what should serve; returns when each version is available or has failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._loading.policy.limit_seconds):
                if self._base is not None:
                    await self._discover(trust=True)
                else:
                    self._adopt(self._given, {c.name: open_store(c.base_path, self._cache) for c in self._given})
                await asyncio.gather(*[model.settled() for model in self._models.values()])
        self._started.set()
        self._loading.started.set()
        if self._poll_seconds > 0:
            self._poller = asyncio.create_task(self._poll())

    async def catch_up(self) -> None:
        """Looks once more for versions of what serves, and loads them as `start` does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._loading.policy.limit_seconds):
                await asyncio.gather(*[m.catch_up() for m in self._models.values() if not m.is_withdrawn])

    async def stop(self, grace: float) -> None:
        """Lets every servable finish what it has accepted, `grace` seconds at most, and unloads it."""
        self._stopping = True
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait({self._poller})
        await asyncio.gather(*[model.stop(grace) for model in self._models.values()])

    async def started(self, timeout: float) -> None:
        """Waits for the first load to end; raises Unavailable after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._started.wait(), timeout)
        except TimeoutError:
            raise Unavailable("the models are still loading") from None

    @property
    def is_started(self) -> bool:
        """Whether every model found at the start is available or has failed."""
        return self._started.is_set() and not self._stopping

    # What serves

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def names(self) -> Sequence[str]:
        """The names of all models, served or not."""
        return sorted(self._models)

    def servables(self) -> Iterator[Servable]:
        """Everything that is available now."""
        return (servable for model in self._models.values() for servable in model.servables())

    def get(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The servable that answers for (name, version or label); raises NotFound, or InvalidInput for the label."""
        if label is not None:
            version = self._labels.version(name, label)
        model = self._models.get(name)
        servable = None
        if model is not None:
            servable = model.current if version is None else model.version(version)
        if servable is None:
            failure = model.failure(version) if model is not None else None
            why = f" (version {failure.version} failed to load: {failure.message})" if failure is not None else ""
            raise UnknownServable(f"Servable not found for request: {_asked(name, version)}{why}")
        return servable

    def statuses(self, name: str, version: int | None = None) -> Sequence[VersionStatus]:
        """The known versions of a model, newest first; raises NotFound where there are none."""
        model = self._models.get(name)
        known = model.statuses() if model is not None else ()
        chosen = [status for status in known if version is None or status.version == version]
        if not chosen:
            what = "any versions" if version is None else f"version {version}"
            raise NotFound(f"Could not find {what} of model {name[:_SHOWN]}")
        return chosen

    def index(self) -> Sequence[tuple[str, VersionStatus]]:
        """Every version of every model, the names ascending; NO_VERSION for models of which none was tried."""
        nothing = (VersionStatus(NO_VERSION, State.END),)
        return [(name, status) for name in self.names() for status in self._models[name].statuses() or nothing]

    def configs(self) -> Sequence[ModelConfig]:
        """What should serve now."""
        return tuple(model.config for name, model in sorted(self._models.items()) if not model.is_withdrawn)

    def awaits(self, name: str, version: int) -> bool:
        """Whether this version is on its way here, or may be."""
        model = self._models.get(name)
        if model is None:
            return not self._stopping and self._base is not None and self._poll_seconds > 0
        return model.awaits(version)

    def passes_over(self, name: str, version: int) -> bool:
        """Whether a newer version will serve here next, without this one."""
        model = self._models.get(name)
        return model is not None and model.passes_over(version)

    # What should serve

    async def reconfigure(self, configs: Sequence[ModelConfig], deadline: float, *, at_start: bool = False) -> None:
        """Serves these models from now on, and no others; returns when their versions are available or have failed.

        deadline: on the clock of time.monotonic(), in seconds.
        at_start: whether labels may name versions that do not serve yet.
        Raises, and changes nothing, where a config cannot be served (InvalidInput, FailedPrecondition); raises
        NotLoaded where a new model has no version that loads, and DeadlineExceeded where loading takes longer.
        """
        async with _until(deadline, "the models to load"):
            allow_new = self._loading.policy.labels_for_unavailable
            labels = (
                Labels(configs) if at_start else self._labels.moved(configs, self._is_available, allow_new=allow_new)
            )
            stores = {config.name: self._store_for(config) for config in configs}
            known = {name for name, model in self._models.items() if not model.is_withdrawn}
            self._base, self._labels = None, labels
            for name in known - stores.keys():
                self._models[name].withdraw()
            self._adopt(configs, {name: store for name, store in stores.items() if store is not None})
            models = [self._models[name] for name in stores]
            await asyncio.gather(*[model.settled() for model in models])
            failed = [name for name in stores if name not in known and self._models[name].current is None]
            if failed:
                raise NotLoaded(
                    f"{len(failed)} model(s) did not become available: "
                    f"{{{''.join(_unavailable(name, self._models[name]) for name in failed)}}}"
                )

    async def load(self, name: str, deadline: float) -> None:
        """Loads a model of the repository, once more where it failed or was unloaded or has changed.

        Raises NotFound where there is no such model, FailedPrecondition where its newest version cannot be loaded,
        and DeadlineExceeded.
        """
        async with _until(deadline, f"model {name[:_SHOWN]} to load"):
            if name not in self._models and self._base is not None:
                await self._discover(trust=True)
            model = self._models.get(name)
            if model is None:
                raise NotFound(f"failed to load '{name[:_SHOWN]}', there is no such model")
            await model.ask()
            await model.settled()
        failure = next(iter(model.statuses()), None)
        if model.problem is not None or failure is None or failure.code is not Code.OK:
            why = failure.message if failure is not None and failure.message else "no version is there"
            raise FailedPrecondition(f"failed to load '{name[:_SHOWN]}', {why}")

    async def unload(self, name: str, deadline: float) -> None:
        """Unloads every version of a model, until `load`; raises NotFound and DeadlineExceeded."""
        model = self._models.get(name)
        if model is None:
            raise NotFound(f"failed to unload '{name[:_SHOWN]}', there is no such model")
        async with _until(deadline, f"model {name[:_SHOWN]} to unload"):
            model.withdraw()
            await model.vacated()

    def _is_available(self, name: str, version: int) -> bool:
        model = self._models.get(name)
        return model is not None and model.version(version) is not None

    def _store_for(self, config: ModelConfig) -> Store | None:
        """A new store; None where the model has the right one."""
        model = self._models.get(config.name)
        if model is not None and model.config.base_path == config.base_path:
            return None
        try:
            return open_store(config.base_path, self._cache)
        except ValueError as error:
            raise InvalidInput(f"model {config.name[:_SHOWN]}: {error}") from None

    def _adopt(self, configs: Sequence[ModelConfig], stores: Mapping[str, Store]) -> None:
        for config in configs:
            store, model = stores.get(config.name), self._models.get(config.name)
            if model is None:
                assert store is not None
                model = self._models[config.name] = Model(config, store, self._loading)
            else:
                model.configure(config, store)
            model.look(trust=store is not None or self._poll_seconds <= 0)

    async def _poll(self) -> None:
        while True:
            # At the same moments as other workers do: they should find the same.
            await asyncio.sleep(self._poll_seconds - time.monotonic() % self._poll_seconds + _EARLY_SECONDS)
            try:
                if self._base is not None:
                    await self._discover(trust=False)
                else:
                    for model in self._models.values():
                        if not model.is_withdrawn:
                            model.look()
            except Exception:  # the next look may succeed, and what is loaded serves on
                _log.exception("looking for new versions failed")

    async def _discover(self, *, trust: bool) -> None:
        """Looks for models in the directory of models, and for versions in each."""
        base = self._base
        if base is None:
            return
        try:
            found = await in_thread(models_in, base, name="look")
        except OSError as error:
            _log.warning("the models cannot be listed: %s", error)
            return
        if base is not self._base:
            return
        for name, folder in found.items():
            if name not in self._models:
                config = ModelConfig(name, str(folder))
                self._models[name] = Model(config, open_store(config.base_path, None), self._loading)
        for name, model in self._models.items():
            if model.is_withdrawn:
                continue
            if name in found:
                model.look(trust=trust)
            elif self._loading.policy.servables_vanish:
                model.gone()


@contextlib.asynccontextmanager
async def _until(deadline: float, what: str) -> AsyncIterator[None]:
    """A wait that ends at `deadline` with DeadlineExceeded."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"the deadline passed while waiting for {what}") from None


def _asked(name: str, version: int | None) -> str:
    """The request in TF Serving's words, which its clients look for."""
    return f"Latest({name[:_SHOWN]})" if version is None else f"Specific({name[:_SHOWN]}, {version})"


def _unavailable(name: str, model: Model) -> str:
    """One model that did not become available, as TF Serving lists them."""
    failure = model.failure()
    if failure is not None:
        return f"{{{{name: {name} version: {failure.version}}} due to error: {failure.code.name}: {failure.message}}}, "
    if model.problem is not None:
        return f"{{{{name: {name}}} due to error: NOT_FOUND: Could not find base path {model.config.base_path}}}, "
    return f"{{{{name: {name}}} due to error: NOT_FOUND: no version is there}}, "
