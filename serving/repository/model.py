"""One name and its versions: which should serve, which do, and the way from one to the other.

A new version loads and warms up beside the old one; then traffic switches in one step, the old one finishes what it
has and its memory is given back. A version that fails to load changes nothing, and its status says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from serving.errors import DeadlineExceeded, ServingError
from serving.repository.loading import Loading, may_pass, told
from serving.repository.model_config import ModelConfig
from serving.repository.source import Source
from serving.repository.status import State, Statuses, VersionStatus
from serving.repository.storage import Fingerprint, Store
from serving.servables.compiler import Compiler
from serving.threads import in_thread, short_turns

if TYPE_CHECKING:
    from serving.servables.servable import Servable  # needs TensorFlow, and this module must import without

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Load:
    """A version on its way."""

    task: asyncio.Task[None] | None = None
    begun: bool = False  # in a thread, where nothing can stop it
    failures: int = 0
    needs_room: bool = False
    came: bool = False  # and serves


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A version that serves, and what it was made of."""

    servable: Servable
    store: Store
    fingerprint: Fingerprint


class Model:
    """Everything about one name. Its methods are called in the event loop."""

    def __init__(self, config: ModelConfig, store: Store, loading: Loading) -> None:
        self.config = config
        self._source = Source(store)
        self._loading = loading
        self._current: Servable | None = None
        self._statuses = Statuses()
        self._failed: dict[int, Fingerprint] = {}
        self._loaded: dict[int, _Loaded] = {}
        self._loads: dict[int, _Load] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._compiler = Compiler(loading.started)
        self._withdrawn = False
        self._stopped = False
        self._first_round = True
        self._changed_files: set[int] = set()

    # What serves

    @property
    def is_withdrawn(self) -> bool:
        """Whether nothing of it should serve."""
        return self._withdrawn

    @property
    def problem(self) -> Exception | None:
        """Why its versions could not be listed the last time."""
        return self._source.problem

    @property
    def current(self) -> Servable | None:
        """The newest version that is available."""
        self._loading.let_in()
        return self._current

    def servables(self) -> Iterable[Servable]:
        """Every version that is available now."""
        self._loading.let_in()
        return [loaded.servable for loaded in self._loaded.values()]

    def version(self, version: int) -> Servable | None:
        """One version, if it is available."""
        self._loading.let_in()
        loaded = self._loaded.get(version)
        return loaded.servable if loaded is not None else None

    def statuses(self) -> Sequence[VersionStatus]:
        """Every version that was tried, newest first."""
        self._loading.let_in()
        return self._statuses.all()

    def failure(self, version: int | None = None) -> VersionStatus | None:
        """Why this version, or else the newest that failed, does not serve."""
        return self._statuses.failure(version)

    def awaits(self, version: int) -> bool:
        """Whether this version is on its way, or may be: it was not seen here yet, or not at rest."""
        if self._withdrawn or self._stopped:
            return False
        if version in self._loads:
            return not self._loads[version].came
        if version in self._loaded:
            return self._is_outdated(version)
        found = self._source.found or {}
        if version not in found:
            return all(version > other for other in self._loaded)
        return version not in self._source.still or version in self._aspired()

    def passes_over(self, version: int) -> bool:
        """Whether a newer version, on its way or next to be loaded, will take over here from an older one."""
        if self._withdrawn or self._stopped or not self._loaded or max(self._loaded) >= version:
            return False
        tried = {v for v, load in self._loads.items() if load.failures}
        return any(v > version and v not in tried for v in self._aspired())

    # What should serve

    def configure(self, config: ModelConfig, store: Store | None = None) -> None:
        """Serves by another config from now on; `store` where the base path is another one, too."""
        self.config = config
        self._withdrawn = False
        if store is not None:
            self._source = Source(store)
            self._failed.clear()
            self._first_round = True
        self._reconcile()

    async def catch_up(self) -> None:
        """Looks for versions now; returns when each that should serve does, or has failed."""
        await asyncio.wait({self.look(trust=True)})
        await self.settled()

    async def ask(self) -> None:
        """Lets a withdrawn model serve again, tries what failed once more, and replaces what has changed on disk."""
        self._withdrawn = False
        self._failed.clear()
        await asyncio.wait({self.look(trust=True)})
        found = self._source.found or {}
        self._changed_files = {v for v in found if v in self._loaded and self._loaded[v].fingerprint != found[v]}
        self._reconcile()

    def withdraw(self) -> None:
        """Unloads every version, and loads none."""
        self._withdrawn = True
        self._reconcile()

    def gone(self) -> None:
        """Its directory is no more."""
        self._source.found = {}
        self._reconcile()

    def look(self, *, trust: bool = False) -> asyncio.Task[None]:
        """Lists the versions, in the background, and loads and unloads by what is found.

        trust: takes what is found as whole; else it must look the same twice.
        """
        if trust and self._looking is not None:
            self._looking.cancel()
        if trust or self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(trust=trust))
        return self._looking

    async def settled(self) -> None:
        """Returns when every version that should serve does, or has failed."""
        while self._is_unsettled():
            await self._changed.wait()

    async def vacated(self) -> None:
        """Returns when what was retired has given its memory back."""
        while self._retiring:
            await asyncio.wait(self._retiring)

    async def stop(self, grace: float) -> None:
        """Ends every load, and lets every version finish what it has accepted, `grace` seconds at most."""
        self._stopped = True
        tasks = {load.task for load in self._loads.values() if load.task is not None}
        tasks |= {self._looking} if self._looking is not None else set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._compiler.close()
        for version in list(self._loaded):
            self._retire(version, grace)
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=grace + 1)

    async def _look(self, *, trust: bool) -> None:
        source = self._source
        await source.look(self.config.name, trust=trust)
        if source is self._source and not self._stopped:
            self._reconcile()

    def _aspired(self) -> Sequence[int]:
        """The versions that should serve, newest first, as far as they are whole and have not failed."""
        if self._withdrawn or self._source.found is None:
            return ()
        found = self._source.found
        whole = {v for v in found if v in self._source.still and self._failed.get(v) != found[v]}
        whole |= {v for v in found if v in self._loaded or v in self._loads}
        if not self._loading.policy.servables_vanish:
            whole |= {v for v, loaded in self._loaded.items() if loaded.store is self._source.store}
        policy = self.config.policy
        # While one is being tried again, the next best serves.
        tried = {v for v, load in self._loads.items() if load.failures}
        return sorted({*policy.aspired(whole), *policy.aspired(whole - tried)}, reverse=True)

    def _is_outdated(self, version: int) -> bool:
        """Whether what serves under this number should be replaced by what lies there now."""
        found = self._source.found or {}
        if version not in self._source.still or self._failed.get(version) == found[version]:
            return False
        return self._loaded[version].store is not self._source.store or version in self._changed_files

    def _is_unsettled(self) -> bool:
        if self._withdrawn or self._stopped:
            return False
        if self._source.found is None:
            return self.problem is None
        return any(
            (self._loads[v].failures == 0 if v in self._loads else v not in self._loaded or self._is_outdated(v))
            for v in self._aspired()
        )

    def _reconcile(self) -> None:
        """Begins what is missing and ends what is too much; called whenever anything has changed."""
        if not self._stopped and (self._source.found is not None or self._withdrawn):
            aspired = self._aspired()
            self._begin(aspired)
            self._end(aspired)
        self._notify()

    def _begin(self, aspired: Sequence[int]) -> None:
        for version, load in self._loads.items():
            if version not in aspired and not load.begun and load.task is not None:
                load.task.cancel()
        if any(load.begun and version not in aspired for version, load in self._loads.items()):
            return  # One that was overtaken is about to come; then the newest will follow it.
        for version in aspired:
            if version not in self._loads and (version not in self._loaded or self._is_outdated(version)):
                load = self._loads[version] = _Load()
                load.task = asyncio.create_task(self._run(version, load))
                load.task.add_done_callback(partial(self._ended, version))

    def _end(self, aspired: Sequence[int]) -> None:
        surplus = sorted(v for v in self._loaded if v not in aspired)
        missing = [v for v in aspired if v not in self._loaded]
        if missing and not any(load.needs_room for load in self._loads.values()):
            surplus = surplus[:-1]  # something has to serve until they are there
        for version in surplus:
            self._retire(version, self._loading.grace_seconds)

    def _notify(self) -> None:
        if not self._is_unsettled():
            self._first_round = False
        self._changed.set()
        self._changed = asyncio.Event()

    # The way there

    async def _run(self, version: int, load: _Load) -> None:
        """Loads a version, with as many tries as it may have."""
        self._statuses.set(VersionStatus(version, State.START))
        try:
            while not await self._try(version, load):
                load.begun = False
                self._reconcile()
                await asyncio.sleep(self._loading.policy.delay(load.failures))
        except asyncio.CancelledError:
            if version in self._loaded:
                self._statuses.set(VersionStatus(version, State.AVAILABLE))
            elif not load.failures:
                self._statuses.forget(version)  # overtaken before it began
            else:
                self._statuses.set(VersionStatus(version, State.END))
            raise

    def _ended(self, version: int, task: asyncio.Task[None]) -> None:
        del self._loads[version]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("loading version %d of %s failed", version, self.config.name, exc_info=error)
        self._reconcile()

    async def _try(self, version: int, load: _Load) -> bool:
        """One try; whether there is no more to do."""
        name, policy = self.config.name, self._loading.policy
        store, fingerprint = self._source.store, (self._source.found or {}).get(version, frozenset())
        began = time.monotonic()
        try:
            async with asyncio.timeout(policy.limit_seconds):
                servable = await self._load(version, load, store)
            await self._arrive(version, load, _Loaded(servable, store, fingerprint), began)
        except Exception as error:
            if isinstance(error, TimeoutError) and time.monotonic() - began >= policy.limit_seconds:
                error = DeadlineExceeded(f"loading took longer than {policy.limit_seconds:.0f} s")
            elif not isinstance(error, ServingError):
                _log.exception("loading version %d of %s failed", version, name)
            problem = told(error)
            self._loading.events.load_failed(name)
            load.failures += 1
            again = may_pass(error) and load.failures <= policy.retries
            _log.warning(
                "version %d of %s is not served%s: %s", version, name, " yet" if again else "", problem.message
            )
            state = State.LOADING if again else State.END
            self._statuses.set(VersionStatus(version, state, problem.code, problem.message))
            if not again:
                self._failed[version] = fingerprint
            return not again
        return True

    async def _load(self, version: int, load: _Load, store: Store) -> Servable:
        name, shared = self.config.name, self._loading
        async with shared.slots.one():
            load.begun = True
            self._statuses.set(VersionStatus(version, State.LOADING))
            _log.info("loading version %d of %s", version, name)
            async with self._source.fetching:
                path = await in_thread(store.fetch, version, name=f"fetch-{name}-{version}")
            if shared.policy.unload_before_load and not self._withdrawn:
                load.needs_room = True
                self._reconcile()
                await self.vacated()
            async with shared.turn() if self._loaded else contextlib.nullcontext():
                with short_turns:
                    servable = await in_thread(
                        shared.load, name, version, path, name=f"load-{name}-{version}", discard=_close_unused
                    )
                    try:
                        if self._first_round or not self._loaded or not shared.started.is_set():
                            servable.compile_in(self._compiler)
                        else:  # traffic must find the new version as fast as the old one
                            await servable.compiled(self._compiler)
                    except BaseException:
                        await servable.close(0)
                        raise
        return servable

    async def _arrive(self, version: int, load: _Load, loaded: _Loaded, began: float) -> None:
        """Returns when it serves, which it does as soon as all workers agree, or when a newer one shall."""
        install = partial(self._install, version, load, loaded, began)
        try:
            await self._loading.agree(self.config.name, version, install, lambda: version in self._aspired())
        finally:
            if not load.came:
                await loaded.servable.close(0)
        if not load.came and version not in self._loaded:
            self._statuses.forget(version)
            _log.info("version %d of %s is passed over for a newer one", version, self.config.name)

    def _install(self, version: int, load: _Load, loaded: _Loaded, began: float) -> None:
        load.came = True
        seconds = time.monotonic() - began
        name = self.config.name
        replaced = self._loaded.get(version)
        self._loaded[version] = loaded
        self._failed.pop(version, None)
        self._changed_files.discard(version)
        self._statuses.set(VersionStatus(version, State.AVAILABLE))
        self._choose()
        _log.info("version %d of %s is available after %.1f s", version, name, seconds)
        self._loading.events.loaded(name, version, seconds)
        if replaced is not None:
            self._leave(version, replaced, self._loading.grace_seconds)

    def _retire(self, version: int, grace: float) -> None:
        loaded = self._loaded.pop(version)
        self._choose()
        self._statuses.set(VersionStatus(version, State.UNLOADING))
        self._leave(version, loaded, grace)

    def _leave(self, version: int, loaded: _Loaded, grace: float) -> None:
        task = asyncio.create_task(self._unload(version, loaded, grace))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _unload(self, version: int, loaded: _Loaded, grace: float) -> None:
        name = self.config.name
        try:
            with short_turns:
                await loaded.servable.close(grace)
        finally:
            if version not in self._loaded:
                if self._statuses.state(version) is State.UNLOADING:
                    self._statuses.set(VersionStatus(version, State.END))
                self._loading.events.unloaded(name, version)
                _log.info("version %d of %s is unloaded", version, name)
        if version not in self._loaded and version not in self._loads:
            with contextlib.suppress(OSError, ServingError):  # a copy that stays is in nobody's way
                async with self._source.fetching:
                    await in_thread(loaded.store.drop, version, name=f"drop-{name}-{version}")
        self._notify()

    def _choose(self) -> None:
        self._current = self._loaded[max(self._loaded)].servable if self._loaded else None


def _close_unused(servable: Servable) -> None:
    """Gives back what was loaded for nobody."""
    task = asyncio.ensure_future(servable.close(0))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
