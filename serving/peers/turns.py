"""Workers take turns at what needs a processor, so that requests keep the others."""

import asyncio
import contextlib
import fcntl
import time
from collections.abc import AsyncIterator
from pathlib import Path

# What takes longer is not waited for: its turn has come to all.
_PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.01


class Turns:
    """Turns at loading a version beside traffic. `directory`: the one that the workers of a server share."""

    def __init__(self, directory: Path, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._file = directory / "loading.lock"
        self._patience = patience

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for whoever has the turn, but only so long."""
        limit = time.monotonic() + self._patience
        with self._file.open("wb") as lock:
            while time.monotonic() < limit:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_POLL_SECONDS)
            yield
