"""The switches that a server's workers have made from version to version, one after another, for all of them at once.

They lie in two files in the directory that the workers share. To the log, a switch is appended by one write. The bell
is eight bytes that every worker has mapped, so that a look costs next to nothing while nobody has rung. Whoever finds
a switch in the log rings before acting on it, with a value that comes only once. So a worker that hears the value it
heard before has read every switch that anybody has acted on: whoever rang last did so after all of those were written,
and this worker heard it before it read. It does not matter how late it looks, nor who dies or is stopped in between.

Nothing is locked, for whoever is stopped with a lock stops others. A write of a few bytes to the end of a local file
is atomic, and takes locks of the kernel that other processors see the bell after.
"""

import mmap
import os
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

# What was switched to, and how many switches whoever wrote this had read when it was ready to. As blocks are made of
# them, no disk is ever full in the midst of one.
_ENTRY = struct.Struct("<qq")
_BELL_BYTES = 8


class Switches:
    """One worker's view of them; `directory`: the one that the workers share, on a disk of this machine."""

    def __init__(self, directory: Path) -> None:
        self._log = os.open(directory / "switches.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.open(directory / "switches.bell", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, os.urandom(_BELL_BYTES), 0)  # there may be no file yet; else this rings, which does no harm
            self._bell = memoryview(mmap.mmap(file, _BELL_BYTES)).cast("q")
        finally:
            os.close(file)
        self._heard: int | None = None
        self._latest: dict[int, int] = {}
        self.count = 0
        """How many have been read."""
        self.read()

    def is_rung(self) -> bool:
        """Whether `read` may find something; false only if nobody has acted on what this worker has not read."""
        return self._bell[0] != self._heard

    def read(self) -> Sequence[int]:
        """The keys of the switches that were made since the last time."""
        heard = self._bell[0]
        count = os.fstat(self._log).st_size // _ENTRY.size
        keys: list[int] = []
        if count > self.count:
            self._bell[0] = int.from_bytes(os.urandom(_BELL_BYTES), signed=True)
            entries = os.pread(self._log, (count - self.count) * _ENTRY.size, self.count * _ENTRY.size)
            for position, (key, since) in enumerate(_ENTRY.iter_unpack(entries), self.count):
                if self._latest.get(key, -1) < since:  # else two workers have made one switch
                    self._latest[key] = position
                    keys.append(key)
            self.count = count
        self._heard = heard
        return keys

    def make(self, key: int, since: int) -> None:
        """Switches all workers that wait for `key`, unless one that read no less than `since` switches has done so.

        since: what `count` was when this worker began to wait. Raises OSError where there is no room.
        """
        os.write(self._log, _ENTRY.pack(key, since))


def key_of(model: str, version: int) -> int:
    """What stands for a version of a model in all processes."""
    return int.from_bytes(sha256(f"{version} {model}".encode()).digest()[:8], signed=True)
