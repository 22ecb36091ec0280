"""What one worker listens on: the gRPC and REST ports that all workers share, and the Unix socket that one has."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from serving import ports
from serving.control import Control
from serving.engine import Engine
from serving.preflight import read_file
from serving.rest.cors import CallableFromAnywhere
from serving.rest.entrance import Entrance
from serving.rest.http_server import HttpServer
from serving.rest.monitoring import Monitoring
from serving.settings import Settings
from serving.tfserving.config_files import MonitoringConfig, TlsConfig, parse_monitoring_config, parse_tls_config

if TYPE_CHECKING:
    from serving.grpc.server import Server
    from serving.grpc.unix_socket import UnixSocket

_LOCK = "grpc_socket.lock"


class Listeners:
    """Opens once, drains once. Without a port there is no listener on it."""

    def __init__(self, settings: Settings, engine: Engine, control: Control, rest: Entrance) -> None:
        self._settings = settings
        self._engine = engine
        self._control = control
        self._rest = rest
        self._grpc: Server | None = None
        self._http: HttpServer | None = None
        self._socket: UnixSocket | None = None

    async def open(self) -> None:
        """Takes connections from now on; raises where it cannot."""
        settings = self._settings
        tls = read_file("ssl_config_file", settings.ssl_config_file, parse_tls_config)
        if settings.port:
            self._grpc = self._server(_address(settings.host, settings.port), tls)
            await self._grpc.start()
        if settings.grpc_socket_path is not None:
            self._socket = self._unix_socket(Path(settings.grpc_socket_path), tls)
            self._socket.start()
        if settings.rest_api_port:
            # An answer to pages from anywhere has headers of its own, which only the app knows.
            find = self._rest.find if not settings.rest_api_enable_cors_support else lambda method, path: None
            http = HttpServer(self._rest_app(), find=find, max_concurrent_requests=settings.max_concurrent_requests)
            await http.start(ports.listen(settings.host, settings.rest_api_port))
            self._http = http

    async def drain(self, grace: float) -> None:
        """Takes no new connections and answers what it has accepted; after `grace` seconds it cancels it."""
        listeners = (self._grpc, self._socket, self._http)
        await asyncio.gather(*(listener.drain(grace) for listener in listeners if listener is not None))

    def _rest_app(self) -> ASGIApp:
        """The REST app with what only its own port has: metrics, and pages from anywhere as callers."""
        settings = self._settings
        app: ASGIApp = self._rest
        monitoring = read_file("monitoring_config_file", settings.monitoring_config_file, parse_monitoring_config)
        monitoring = monitoring or MonitoringConfig()
        if monitoring.enable and settings.metrics_directory is not None:
            app = Monitoring(app, monitoring.path, settings.metrics_directory)
        if settings.rest_api_enable_cors_support:
            app = CallableFromAnywhere(app)
        return app

    def _server(self, address: str, tls: TlsConfig | None) -> "Server":
        from serving.grpc.server import Server

        settings = self._settings
        return Server(
            self._engine,
            self._control,
            addresses=[address],
            max_message_bytes=settings.max_message_bytes,
            max_concurrent_requests=settings.max_concurrent_requests,
            reuse_port=True,
            tls=tls,
            channel_arguments=settings.channel_arguments,
            tensor_content=settings.enable_serialization_as_tensor_content,
            allow_model_control=settings.allow_model_control,
        )

    def _unix_socket(self, path: Path, tls: TlsConfig | None) -> "UnixSocket":
        from serving.grpc.unix_socket import UnixSocket

        lock = (self._settings.run_directory or path.parent) / _LOCK
        return UnixSocket(path, lock, lambda address: self._server(address, tls))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
