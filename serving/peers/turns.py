"""Workers take turns at what needs a processor, so that requests keep the others."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from serving.peers.locks import locked

# What takes longer is not waited for: its turn has come to all.
_PATIENCE_SECONDS = 1.0


class Turns:
    """Turns at loading a version beside traffic. `directory`: the one that the workers of a server share."""

    def __init__(self, directory: Path, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._file = directory / "loading.lock"
        self._patience = patience

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for whoever has the turn, but only so long."""
        async with locked(self._file, time.monotonic() + self._patience):
            yield
