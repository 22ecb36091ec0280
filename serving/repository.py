"""Names, versions and their states: what is loaded, what should be, and the way from one to the other.

A new version loads and warms up beside the old one; then traffic switches in one step, the old one finishes what it
has and its memory is given back. A version that fails to load changes nothing, and its status says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serving.compiler import Compiler
from serving.errors import Code, FailedPrecondition, NotFound, ServingError, Unavailable
from serving.storage import Fingerprint, fingerprint, models_in, versions_in

if TYPE_CHECKING:
    from serving.servable import Servable  # needs TensorFlow, and this module must import without

_log = logging.getLogger(__name__)
_Versions = Mapping[int, tuple[Path, Fingerprint]]


class State(Enum):
    """A version's life, with TF Serving's names and numbers (ModelVersionStatus.State)."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """Where one version stands; code and message say why a load failed."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclass(slots=True)
class _Model:
    """What the repository knows of one name."""

    current: Servable | None = None
    statuses: dict[int, VersionStatus] = field(default_factory=dict)
    seen: dict[int, Fingerprint] = field(default_factory=dict)
    failed: dict[int, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepositoryEvents:
    """Called in the event loop as versions come and go."""

    loaded: Callable[[str, int, float], None] = lambda model, version, seconds: None
    unloaded: Callable[[str, int], None] = lambda model, version: None
    load_failed: Callable[[str], None] = lambda model: None


class Repository:
    """Serves the latest whole version of each model under a directory.

    base: a directory of models, or a mapping from model names to directories of versions.
    load: makes a servable of (name, version, directory); blocks; runs in a thread.
    poll_seconds: time between looks at the directories; 0 for only one look.
    """

    def __init__(
        self,
        base: Path | Mapping[str, Path],
        load: Callable[[str, int, Path], Servable],
        *,
        poll_seconds: float = 1.0,
        grace_seconds: float = 30.0,
        events: RepositoryEvents = RepositoryEvents(),
    ) -> None:
        self._base = base
        self._load = load
        self._poll_seconds = poll_seconds
        self._grace_seconds = grace_seconds
        self._events = events
        self._models: dict[str, _Model] = {}
        self._started = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._aspiring: dict[str, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._compiler = Compiler()
        self._stopping = False

    async def start(self) -> None:
        """Loads the latest version of every model; returns when each is available or has failed."""
        await self._look(first=True)
        self._started.set()
        if self._poll_seconds > 0:
            self._poller = asyncio.create_task(self._poll())

    async def stop(self, grace: float) -> None:
        """Lets every servable finish what it has accepted, `grace` seconds at most, and unloads it."""
        self._stopping = True
        tasks = {*self._aspiring.values()} | ({self._poller} if self._poller is not None else set())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._compiler.close()
        for name, model in self._models.items():
            if model.current is not None:
                self._retire(name, model.current, grace)
                model.current = None
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=grace + 1)
        self._loader.shutdown(wait=False, cancel_futures=True)

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

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def names(self) -> Sequence[str]:
        """The names of all models, served or not."""
        return sorted(self._models)

    def servables(self) -> Iterator[Servable]:
        """Everything that is available now."""
        return (model.current for model in self._models.values() if model.current is not None)

    def get(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The servable that answers for (name, version or label); raises NotFound or FailedPrecondition."""
        model = self._models.get(name)
        if model is None or label is not None:
            raise NotFound(f"Servable not found for request: {_asked(name, version, label)}")
        servable = model.current
        if servable is None or (version is not None and servable.version != version):
            failure = self._failure(model, version)
            if failure is not None:
                raise FailedPrecondition(f"{_asked(name, version, label)} failed to load: {failure.message}")
            raise NotFound(f"Servable not found for request: {_asked(name, version, label)}")
        return servable

    def statuses(self, name: str, version: int | None = None) -> Sequence[VersionStatus]:
        """The known versions of a model, newest first; raises NotFound where there are none."""
        model = self._models.get(name)
        known = model.statuses if model is not None else {}
        chosen = [known[v] for v in sorted(known, reverse=True) if version is None or v == version]
        if not chosen:
            what = f"model {name}" if version is None else f"version {version} of model {name}"
            raise NotFound(f"Could not find {what}")
        return chosen

    @staticmethod
    def _failure(model: _Model, version: int | None) -> VersionStatus | None:
        failures = [s for s in model.statuses.values() if s.code is not Code.OK]
        return next((s for s in reversed(failures) if version is None or s.version == version), None)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._look(first=False)
            except Exception:  # the next look may succeed, and what is loaded serves on
                _log.exception("looking for new versions failed")

    async def _look(self, *, first: bool) -> None:
        """Scans once; each model that has something new gets a task, so that none waits for another's."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._loader, _scan, self._base)
        for name, versions in found.items():
            model = self._models.setdefault(name, _Model())
            if name not in self._aspiring:
                # What was seen like this before has come to rest; at the start nothing was, and nothing is awaited.
                still = versions if first else {v: f for v, f in versions.items() if model.seen.get(v) == f[1]}
                task = loop.create_task(self._aspire(name, model, versions, still))
                self._aspiring[name] = task
                task.add_done_callback(partial(self._aspired, name))
            model.seen = {version: print_ for version, (_, print_) in versions.items()}
        if first and self._aspiring:
            await asyncio.wait(self._aspiring.values())

    def _aspired(self, name: str, task: asyncio.Task[None]) -> None:
        del self._aspiring[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("looking after %s failed", name, exc_info=error)

    async def _aspire(self, name: str, model: _Model, versions: _Versions, still: _Versions) -> None:
        """Loads the newest version that is whole and has not failed, unless it serves already."""
        for version in sorted(versions, reverse=True):
            if model.current is not None and model.current.version == version:
                return
            path, print_ = versions[version]
            if version not in still or model.failed.get(version) == print_:
                continue
            if await self._try(name, model, version, path):
                return
            model.failed[version] = print_

    async def _try(self, name: str, model: _Model, version: int, path: Path) -> bool:
        model.statuses[version] = VersionStatus(version, State.LOADING)
        _log.info("loading version %d of %s", version, name)
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        servable = None
        try:
            servable = await loop.run_in_executor(self._loader, self._load, name, version, path)
            if model.current is None:
                servable.compile_in(self._compiler)
            else:  # traffic must find the new version as fast as the old one
                await servable.compiled(self._compiler)
        except Exception as error:
            if not isinstance(error, ServingError):
                _log.exception("loading version %d of %s failed", version, name)
            problem = error if isinstance(error, ServingError) else FailedPrecondition("loading failed")
            _log.warning("version %d of %s is not served: %s", version, name, problem.message)
            model.statuses[version] = VersionStatus(version, State.END, problem.code, problem.message)
            self._events.load_failed(name)
            if servable is not None:
                await servable.close(0)
            return False
        seconds = time.monotonic() - began
        old, model.current = model.current, servable
        model.failed.pop(version, None)
        model.statuses[version] = VersionStatus(version, State.AVAILABLE)
        _log.info("version %d of %s is available after %.1f s", version, name, seconds)
        self._events.loaded(name, version, seconds)
        if old is not None:
            self._retire(name, old, self._grace_seconds)
        return True

    def _retire(self, name: str, servable: Servable, grace: float) -> None:
        task = asyncio.create_task(self._unload(name, servable, grace))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _unload(self, name: str, servable: Servable, grace: float) -> None:
        statuses = self._models[name].statuses
        statuses[servable.version] = VersionStatus(servable.version, State.UNLOADING)
        try:
            await servable.close(grace)
        finally:
            statuses[servable.version] = VersionStatus(servable.version, State.END)
            self._events.unloaded(name, servable.version)
        _log.info("version %d of %s is unloaded", servable.version, name)


def _scan(base: Path | Mapping[str, Path]) -> dict[str, _Versions]:
    folders = base if isinstance(base, Mapping) else models_in(base)
    found: dict[str, _Versions] = {}
    for name, folder in folders.items():
        with contextlib.suppress(OSError):  # it may come back
            found[name] = {version: (path, fingerprint(path)) for version, path in versions_in(folder).items()}
    return found


def _asked(name: str, version: int | None, label: str | None) -> str:
    """The request in TF Serving's words, which its clients look for."""
    if label is not None:
        return f"Specific({name}, {label})"
    return f"Latest({name})" if version is None else f"Specific({name}, {version})"
