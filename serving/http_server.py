"""A bare uvicorn inside a loop that runs already: no signal handlers, no logs, a socket made by the caller."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp


class HttpServer:
    """Serves one ASGI app on one listening socket. Starts once, drains once."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
        )
        self._server = _Server(config)

    async def start(self, listening: socket.socket) -> None:
        """Serves connections of `listening`, which it then owns."""
        self._running = asyncio.create_task(self._server.serve([listening]))
        while not self._server.started and not self._running.done():
            await asyncio.sleep(0.01)
        if self._running.done():
            self._running.result()

    async def drain(self, grace: float) -> None:
        """Takes no new connections, answers the requests it has, and ends, after `grace` seconds by force."""
        self._server.should_exit = True
        await asyncio.wait({self._running}, timeout=grace)
        self._running.cancel()
        await asyncio.wait({self._running})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they belong to the process's first server
