"""One worker process: its models, and its listeners on the gRPC and REST ports that all workers share.

The listeners open when the models have loaded, so that the kernel sends connections to ready workers only.
"""

import asyncio
import importlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from serving import xla_cache
from serving.control import Control
from serving.engine import Engine
from serving.listeners import Listeners
from serving.metrics import forget_dead_workers, process_metrics
from serving.peers import Peers
from serving.peers.agreement import Agreement
from serving.peers.orders import OrderBook
from serving.peers.switches import Switches
from serving.peers.turns import Turns
from serving.repository import Repository, RepositoryEvents
from serving.repository.config_file import ConfigFile
from serving.repository.loading import at_once, nothing_waits
from serving.repository.model_config import ModelConfig, parse
from serving.rest.app import build_app
from serving.rest.entrance import Entrance
from serving.sequences import Sequences
from serving.settings import Settings
from serving.sources import models_of, policy_of
from serving.threads import forget_imports
from serving.version_loader import VersionLoader

# What is kept of the grace period for ending the process itself.
_MARGIN_SECONDS = 1.0
# How long the ports stay open after readiness went false.
_LINGER_SECONDS = 0.5
# How long orders that came before this worker may take, its place in their queue included.
_ENTER_SECONDS = 600.0
_OBSERVE_SECONDS = 1.0
# How long a look at the model_config_file may wait for the models that it names.
_CONFIG_SECONDS = 600.0
_log = logging.getLogger(__name__)


class Worker:
    """Starts in the background, drains once, then closes. Everything runs in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.metrics_directory is not None:
            forget_dead_workers(settings.metrics_directory)
        self._metrics = process_metrics()
        self._book = OrderBook(settings.run_directory) if settings.run_directory is not None else None
        ordered = None if self._book is None else self._book.read().config
        agreement: Agreement | None = None
        if settings.run_directory is not None:
            switches = Switches(settings.run_directory)
            agreement = Agreement(
                switches,
                lambda model, version: self._repository.awaits(model, version),
                lambda model, version: self._repository.passes_over(model, version),
            )
        self._repository = Repository(
            models_of(settings) if ordered is None else parse(ordered),
            VersionLoader(settings, self._metrics),
            poll_seconds=settings.file_system_poll_wait_seconds,
            grace_seconds=settings.grace_period_seconds,
            policy=policy_of(settings),
            agree=at_once if agreement is None else agreement.agree,
            let_in=nothing_waits if agreement is None else agreement.let_in,
            turn=nullcontext if settings.run_directory is None else Turns(settings.run_directory).one,
            cache=settings.model_cache_directory,
            events=RepositoryEvents(self._metrics.loaded, self._metrics.unloaded, self._metrics.load_failed),
        )
        self.engine = Engine(
            self._repository,
            timeout=settings.request_timeout_seconds,
            answered=self._metrics.answered,
            refused=self._metrics.refused,
            served=self._metrics.served,
            tally=self._metrics.tally,
            computed=self._metrics.computed,
            sequences=Sequences(max_sequences=settings.max_sequences, idle_seconds=settings.max_sequence_idle_seconds),
        )
        cached = settings.xla_cache_directory
        self._xla_cache = Path(cached) if settings.xla and cached != xla_cache.OFF else None
        self._control = Control(self._repository)
        self._peers: Peers | None = None
        if self._book is not None and agreement is not None and settings.run_directory is not None:
            self._peers = Peers(settings.run_directory, {**self._control.answers, **agreement.answers})
            agreement.join(self._peers)
            self._control.join(self._peers, self._book)
        app = build_app(
            self.engine,
            self._control,
            max_message_bytes=settings.max_message_bytes,
            body_timeout=settings.rest_timeout_seconds or settings.request_timeout_seconds,
            allow_model_control=settings.allow_model_control,
        )
        self.rest = Entrance(app, settings.rest_timeout_seconds)
        self._listeners = Listeners(settings, self.engine, self._control, self.rest)
        self._serving = False

    @property
    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return self._serving and self.engine.ready()

    def start(self) -> None:
        """Begins to load the models; returns at once."""
        self._background = [asyncio.create_task(self._start()), asyncio.create_task(self._observe())]

    async def drain(self) -> None:
        """Takes no new connections on the two ports and answers what it has accepted there."""
        self.engine.withdraw()
        grace = self._settings.grace_period_seconds - _MARGIN_SECONDS
        for task in self._background:
            task.cancel()
        await asyncio.wait(self._background)
        if self._serving:
            # Connections that wait in the sockets' queues would be reset if those closed now.
            linger = min(_LINGER_SECONDS, grace / 4)
            await asyncio.sleep(linger)
            await self._listeners.drain(grace - linger)

    async def close(self) -> None:
        """Unloads the models; nothing may ask for an answer any more."""
        self._metrics.count()
        if self._peers is not None:
            await self._peers.close()
        await self._repository.stop(_MARGIN_SECONDS)

    async def _start(self) -> None:
        began = time.monotonic()
        try:
            # In a thread, for TensorFlow takes seconds to import, and port 3000 is open already.
            for module in ("serving.servables.servable", "serving.grpc.unix_socket"):
                await asyncio.to_thread(importlib.import_module, module)
            forget_imports()
            await self._repository.start()
            self._watch_config()
            await self._control.enter(time.monotonic() + _ENTER_SECONDS)
            if self._peers is not None:  # until now, the others switched to new versions without this worker
                await self._repository.catch_up()
            await self._listeners.open()
            self._serving = True
        except Exception:
            # It stays, and says that it is not ready: to end would only make BentoML start it again.
            _log.exception("this worker cannot serve")
            return
        versions = ", ".join(f"{s.name} {s.version}" for s in self._repository.servables())
        _log.info("ready after %.1f s with %s", time.monotonic() - began, versions or "no model yet")

    def _watch_config(self) -> None:
        """Goes on reading the model_config_file; the first worker that sees a change orders it for all."""
        file, poll_seconds = self._settings.model_config_file, self._settings.model_config_file_poll_wait_seconds
        if file is None or poll_seconds <= 0:
            return

        async def apply(configs: Sequence[ModelConfig]) -> None:
            await self._control.reload(configs, time.monotonic() + _CONFIG_SECONDS, from_file=True)

        text = None if self._book is None else self._book.read().file
        watched = ConfigFile(
            file,
            self._repository.configs() if text is None else parse(text),
            apply,
            poll_seconds=poll_seconds,
            failed=self._metrics.config_failed,
        )
        self._background.append(asyncio.create_task(watched.watch()))

    async def _observe(self) -> None:
        """Keeps up to date what /metrics shows of queues, and the cache of compiled code sealed."""
        while True:
            self.engine.expire()
            rows, shapes = Counter[str](), Counter[str]()
            for servable in self._repository.servables():
                rows[servable.name] += servable.depth
                shapes[servable.name] += servable.shapes_to_compile
            for name in self._repository.names():
                self._metrics.waiting(name, rows[name], shapes[name])
            if self._xla_cache is not None:
                await asyncio.to_thread(xla_cache.seal, self._xla_cache)
            await asyncio.sleep(_OBSERVE_SECONDS)
