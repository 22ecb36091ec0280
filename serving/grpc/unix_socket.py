"""gRPC on a Unix socket, which only one process can listen on: of several workers one does.

When it ends, even by SIGKILL, another takes over: a lock on a file says whose turn it is, and a rename puts the new
socket in the old one's place, so that there is always one to connect to while any worker lives.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from serving.grpc.server import Server

_log = logging.getLogger(__name__)
_TRY_AGAIN_SECONDS = 0.5


class UnixSocket:
    """Starts once, drains once.

    path: where clients connect; absolute.
    lock: a file that all workers share.
    serve: makes a server for an address.
    """

    def __init__(self, path: Path, lock: Path, serve: Callable[[str], Server]) -> None:
        self._path = path
        self._lock = lock
        self._serve = serve
        self._server: Server | None = None
        self._inode: int | None = None

    def start(self) -> None:
        """Serves from now on, or as soon as it is this worker's turn."""
        self._turn = asyncio.create_task(self._wait_and_serve())

    async def drain(self, grace: float) -> None:
        """Gives the turn away, answers what was accepted, and leaves no socket behind that nobody listens on."""
        self._turn.cancel()
        await asyncio.wait({self._turn})
        if self._server is not None:
            await self._server.drain(grace)
        with self._lock.open("w") as file, contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._inode is not None and self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _wait_and_serve(self) -> None:
        with self._lock.open("w") as file:
            while not _locked(file):
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            # A name of its own until it listens; gRPC would remove the other one first.
            private = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            server = self._serve(f"unix:{private}")
            try:
                await server.start()
                self._server = server
                self._inode = private.stat().st_ino
                os.rename(private, self._path)
            except (OSError, RuntimeError) as error:
                _log.error("no gRPC on %s: %s", self._path, error)
            await asyncio.Event().wait()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
