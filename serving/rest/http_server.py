"""A bare uvicorn inside a loop that runs already: no signal handlers, no logs, a socket made by the caller."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from serving.limits import MAX_CONCURRENT_REQUESTS
from serving.rest.express import Find, lane


class HttpServer:
    """Serves one ASGI app on one listening socket. Starts once, drains once.

    find: what answers a method and a path without the app, for a request that is nothing out of the ordinary.
    max_concurrent_requests: of how many connections requests are taken; those on more are answered 503.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        find: Find = lambda method, path: None,
        max_concurrent_requests: int = MAX_CONCURRENT_REQUESTS,
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http=lane(find),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=max_concurrent_requests + 1,  # uvicorn refuses from this one on
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
