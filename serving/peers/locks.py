"""A lock that the processes of one machine share: it ends with whoever holds it, however that ends."""

import asyncio
import contextlib
import fcntl
import time
from collections.abc import AsyncIterator
from pathlib import Path

_POLL_SECONDS = 0.01


@contextlib.asynccontextmanager
async def locked(file: Path, deadline: float) -> AsyncIterator[bool]:
    """Enters with the lock, and True; or with False, once `deadline` (on the clock of time.monotonic()) has passed."""
    with file.open("wb") as lock:
        held = False
        while not held:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    break
                await asyncio.sleep(_POLL_SECONDS)
        yield held
