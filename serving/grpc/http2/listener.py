"""Takes connections on one address and ends them gracefully."""

import asyncio
import socket
from collections.abc import Callable

from serving.grpc.calls import Calls
from serving.grpc.http2.connection import Connection, Crowd
from serving.grpc.http2.stream import Limits

_LOOK_SECONDS = 0.01
# What clients have to read their last answers.
_LAST_SECONDS = 1.0


class Listener:
    """Plain connections on one listening socket. Starts once, drains once.

    listen: makes the socket; raises OSError if it cannot.
    """

    def __init__(self, calls: Calls, limits: Limits, listen: Callable[[], socket.socket]) -> None:
        self._calls = calls
        self._limits = limits
        self._listen = listen
        self._crowd = Crowd()

    async def start(self) -> int:
        """Serves; returns the port."""
        listening = self._listen()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._calls, self._limits, self._crowd), sock=listening
        )
        port: int = listening.getsockname()[1]
        return port

    async def drain(self, grace: float) -> None:
        """Takes no new connections, answers what was asked, and ends; after `grace` seconds it cancels the rest."""
        self._server.close()
        await self._ended(grace)
        for connection in list(self._crowd.connections):
            connection.abandon()
        await self._ended(_LAST_SECONDS)
        for connection in list(self._crowd.connections):
            connection.abort()

    async def _ended(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._crowd.connections and loop.time() < until:
            # Some are made only now, of those that waited in the socket.
            for connection in list(self._crowd.connections):
                connection.leave()
            await asyncio.sleep(_LOOK_SECONDS)
