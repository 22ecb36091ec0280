"""How a worker loads one version, as the settings say, and what is counted of it."""

import os
import time
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from serving.metrics import Metrics
from serving.peers.claims import Claims
from serving.preflight import read_file
from serving.servables.batching_parameters import parse_batching_parameters
from serving.settings import Settings
from serving.xla_cache import OFF, Faster

if TYPE_CHECKING:
    from serving.servables.servable import LoadOptions, Servable


class VersionLoader:
    """Loads version directories; each call blocks until one is ready. It brings TensorFlow with the first."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def __call__(self, name: str, version: int, path: Path) -> "Servable":
        from serving.servables.servable import load_servable

        metrics = self._metrics
        began = time.monotonic()
        loaded = False
        try:
            servable = load_servable(
                name,
                version,
                path,
                self._options,
                lambda report: metrics.ran(name, report),
                lambda succeeded, seconds: metrics.warmed_up(str(path), succeeded, seconds),
            )
            loaded = True
        finally:
            metrics.load_attempted(str(path), loaded, time.monotonic() - began)
        return servable

    @cached_property
    def _options(self) -> "LoadOptions":
        from serving.servables.servable import LoadOptions

        settings = self._settings
        shared = settings.run_directory
        cached = settings.xla_cache_directory != OFF
        if not cached or not os.access(settings.xla_cache_directory, os.W_OK):
            shared = None  # what one compiles, the others could not read
        return LoadOptions(
            faster=Faster(Path(settings.xla_cache_directory)) if cached else set(),
            claim=Claims(shared).one if shared is not None else (lambda _: nullcontext(True)),
            threads=settings.threads_per_call,
            calls=settings.inter_op_threads,
            tags=tuple(settings.saved_model_tags.split(",")),
            gpu_memory_fraction=settings.per_process_gpu_memory_fraction,
            compile=settings.xla,
            enable_batching=settings.enable_batching,
            batching=read_file(
                "batching_parameters_file", settings.batching_parameters_file, parse_batching_parameters
            ),
            warm_up=settings.enable_model_warmup,
            iterations=settings.num_request_iterations_for_warmup,
        )
