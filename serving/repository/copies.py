"""Copies of remote versions in a local directory that several processes share.

A copy appears whole or not at all: it is made under another name and renamed. Who uses one holds a lock on it, so
that nobody else removes it; who makes or removes one holds the directory's lock, so that only one process fetches.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.errors import Unavailable

_POLL_SECONDS = 0.05
_REMOVAL_SECONDS = 5.0
_COPY = re.compile(r"(\d+)-([0-9a-f]{16})")


class Copies:
    """The copies of one model's versions, below `cache`; `source` tells models apart."""

    def __init__(self, cache: Path, source: str) -> None:
        self._folder = cache / hashlib.sha256(source.encode()).hexdigest()[:24]
        self._used: dict[int, tuple[Path, int]] = {}

    def take(
        self,
        version: int,
        content: str,
        is_whole: Callable[[Path], bool],
        make: Callable[[Path], None],
        deadline: float,
    ) -> Path:
        """The copy of a version with this content; `make` fills a new directory where there is none.

        It is kept until `release`. deadline: on the clock of time.monotonic(). Raises Unavailable where another
        process fetches for longer, and what `make` raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{version}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        with self._locked(deadline):
            if not is_whole(path):
                partial = self._folder / f".{path.name}.partial"
                for rubbish in (partial, path):  # left by a process that was killed, or damaged since
                    shutil.rmtree(rubbish, ignore_errors=True)
                partial.mkdir(mode=0o700)
                try:
                    make(partial)
                    partial.rename(path)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
            self._hold(version, path)
        return path

    def release(self, version: int) -> None:
        """Gives a copy up. Copies that nobody uses are removed then, but for the newest, for the next start."""
        used = self._used.pop(version, None)
        if used is not None:
            os.close(used[1])
        with contextlib.suppress(Unavailable, OSError), self._locked(time.monotonic() + _REMOVAL_SECONDS):
            found = [(int(match[1]), match[0]) for match in map(_COPY.fullmatch, os.listdir(self._folder)) if match]
            newest = max((number for number, _ in found), default=-1)
            for number, name in found:
                if number != newest:
                    self._remove(self._folder / name)

    def _hold(self, version: int, path: Path) -> None:
        lock = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        before = self._used.pop(version, None)
        self._used[version] = (path, lock)
        if before is not None:
            os.close(before[1])

    @staticmethod
    def _remove(path: Path) -> None:
        lock = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody serves it
            return
        else:
            shutil.rmtree(path, ignore_errors=True)
            _lock_of(path).unlink(missing_ok=True)
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _locked(self, deadline: float) -> Iterator[None]:
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise Unavailable("another process is still fetching this model") from None
                    time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(lock)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.used")
