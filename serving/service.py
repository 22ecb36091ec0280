"""The BentoML service: puts the parts together, starts them and stops them. Only this and bento.py import bentoml.

It is imported by two kinds of process. The first one, which BentoML's command runs, claims the ports and starts the
workers; each worker makes a SeqServe and serves. Neither needs TensorFlow to import this file.
"""

import asyncio
import atexit
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import bentoml
import click
from pydantic import BaseModel, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import launch, ports
from serving.api.classes import ClassAnswer
from serving.api.forecast import ForecastReply, ForecastRequest
from serving.api.sketch import SketchRequest
from serving.api.video import VideoUpload
from serving.repository.storage import version_of_tag
from serving.settings import SettingsError, from_environment
from serving.signals import StopSignals, stop_with_parent
from serving.typed_api import TypedApi
from serving.worker import Worker

_log = logging.getLogger("serving")
_log.setLevel(logging.INFO)
if bentoml.server_context.worker_index is not None:
    # Two lines a hook and worker; we write one a worker.
    logging.getLogger("bentoml.serve").setLevel(logging.WARNING)

try:
    _settings = from_environment()
except SettingsError as error:
    raise SystemExit(f"seqserve: {error}") from None
if _settings.metrics_directory is not None:
    # BentoML's own is one for all servers on a machine, and each that starts empties it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_settings.metrics_directory)
_http_port = _settings.http_port or ports.free(_settings.host)


class _Mounted:
    """The REST app on BentoML's port. BentoML takes apps when the class is made, before there is an engine."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The app's own routes begin with the prefix, so it gets the path whole.
        await self.app({**scope, "root_path": ""}, receive, send)


class _Documented(bentoml.IODescriptor):
    """A body as the API page shows it. The method gets the request itself, and reads it within limits."""

    __root_input__: ClassVar[bool] = True

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Request:  # noqa: ARG003
        return request


def _documented(model: type[BaseModel]) -> type[BaseModel]:
    make: Any = create_model
    made: type[BaseModel] = make(model.__name__, __base__=(_Documented, model), __doc__=model.__doc__)
    return made


_mounted = _Mounted()


@bentoml.asgi_app(_mounted, path="/v1")
@bentoml.asgi_app(_mounted, path="/v2")
@bentoml.service(
    name="seqserve",
    workers=_settings.workers,
    http={"host": _settings.host, "port": _http_port},
    # Ours come first, with a better message; this one ends what never sends its body.
    traffic={"timeout": max(_settings.request_timeout_seconds, _settings.rest_timeout_seconds or 0) + 5},
    logging={"access": {"enabled": _settings.access_log}},
)
class SeqServe:
    """Forecasts, sketches and clips: three sequence models behind typed endpoints."""

    def __init__(self) -> None:
        self._worker = Worker(_settings)
        self._typed = TypedApi(
            self._worker.engine,
            max_message_bytes=_settings.max_message_bytes,
            timeout=_settings.request_timeout_seconds,
        )
        _mounted.app = self._worker.rest

    @bentoml.on_deployment
    def prepare() -> None:
        """Runs once, before there are workers: what is wrong with the settings ends the start here."""
        command = click.get_current_context(silent=True)
        http_port: int | None = None
        if command is not None:
            http_port = command.params.get("port") or _http_port
        try:
            launched = launch.prepare(_settings, http_port, _packed())
        except (SettingsError, ports.PortError) as error:
            raise SystemExit(f"seqserve: {error}") from None
        atexit.register(launched.kept.close)
        os.environ.update(launched.environment)
        _log.info(
            "on %s: typed API on port %s, gRPC on %s, REST on %s; workers: %d",
            _settings.host,
            http_port,
            _settings.port or "none",
            _settings.rest_api_port or "none",
            _settings.workers,
        )

    @bentoml.on_startup
    async def start(self) -> None:
        self._signals = StopSignals(self._worker.drain, _settings.grace_period_seconds)
        self._parent = asyncio.create_task(stop_with_parent())
        self._worker.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await self._worker.close()

    async def __is_ready__(self) -> bool:
        return self._worker.ready

    @bentoml.api(route="/forecast", input_spec=_documented(ForecastRequest), output_spec=_documented(ForecastReply))
    async def forecast(self, request: Request, /) -> Response:
        """Forecast the next seven days of one daily series, or of many."""
        return await self._typed.forecast(request)

    @bentoml.api(route="/classify_sketch", input_spec=_documented(SketchRequest), output_spec=_documented(ClassAnswer))
    async def classify_sketch(self, request: Request, /) -> Response:
        """Name what a drawing shows."""
        return await self._typed.classify_sketch(request)

    @bentoml.api(route="/classify_video", input_spec=_documented(VideoUpload), output_spec=_documented(ClassAnswer))
    async def classify_video(self, request: Request, /) -> Response:
        """Name what happens in a clip."""
        return await self._typed.classify_video(request)


def _packed() -> Iterator[tuple[str, int, Path]]:
    """Name, version and directory of the models of the Bento that this is served from, if it is."""
    service: Any = SeqServe
    bento = service.bento
    for model in bento.info.all_models if bento is not None else ():
        name, version = model.tag.name, model.tag.version
        # In an image they lie in the Bento itself, elsewhere in the store of the machine.
        own = Path(bento.path) / "models" / name / version
        yield name, version_of_tag(version), own if own.is_dir() else Path(bentoml.models.get(model.tag).path)
