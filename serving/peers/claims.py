"""Workers share out what one of them can do for all."""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path


class Claims:
    """Claims to a piece of work. `directory`: the one that the workers of a server share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "claims"
        self._directory.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def one(self, work: str) -> Iterator[bool]:
        """Enters at once: with True, or with False while another worker is at it."""
        name = hashlib.blake2b(work.encode(), digest_size=12).hexdigest()
        with (self._directory / f"claim-{name}.lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
