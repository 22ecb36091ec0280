"""What XLA compiled, on disk, so that the next start reads it: where it lies, and why it can be trusted.

XLA itself writes an entry for each graph and shape, and finds it again by a hash of both. But an entry is machine code
that is run as it is, and XLA neither looks whether it is whole nor whether this processor knows its instructions. So
entries of other processors, versions and options lie in directories of their own; only the user's own files count; and
beside each entry lies its digest, written once it was complete. Which compilations gained by it lies there too, and
needs no digest: it only says what runs compiled. The first process throws away what does not fit, before there are
workers.
"""

import contextlib
import hashlib
import logging
import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

OFF = "none"
_MOST_BYTES = 1 << 30
_ENTRY, _DIGEST, _FASTER = ".pb", ".blake2b", ".faster"
_MOST_FASTER = 4096
_CPU_LINES = re.compile(r"^(vendor_id|model name|flags|Features|CPU \w+)\s*:.*$", re.MULTILINE)
_OURS = "--tf_xla_persistent_cache_directory="
_BEING_WRITTEN_SECONDS = 3600.0  # by another server, at most
_log = logging.getLogger(__name__)


class Unusable(Exception):
    """There can be no cache; the message says why."""


def usual() -> Path:
    """Where caches of this user lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "seqserve" / "xla"


def prepare(base: Path, threads: int, *, most_bytes: int = _MOST_BYTES) -> Path:
    """The directory under `base` for code that this machine can run, with sound entries of `most_bytes` at most.

    threads: what one call of a model may take; loops are cut into as many parts. Raises Unusable.
    """
    directory = base.absolute() / _kind(threads)
    if re.search(r"[\s'\"]", str(directory)):
        raise Unusable("its path has spaces or quotes, which TensorFlow's flags cannot hold")
    try:
        for folder in (base, directory):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(folder)
        _tidy(directory, most_bytes)
    except OSError as error:
        raise Unusable(error.strerror or type(error).__name__) from None
    return directory


def environment(directory: Path) -> Mapping[str, str]:
    """The variables with which TensorFlow uses the cache, for processes that have not imported it yet.

    On processors only: code for graphics cards would need a key of its own.
    """
    given = os.environ.get("TF_XLA_FLAGS", "")
    if _OURS in given:
        return {}
    flags = [given, f"{_OURS}{directory}", "--tf_xla_persistent_cache_device_types=CPU"]
    if not os.access(directory, os.W_OK):
        flags.append("--tf_xla_persistent_cache_read_only=true")
    return {"TF_XLA_FLAGS": " ".join(filter(None, flags))}


def seal(directory: Path) -> int:
    """Writes the digests of new entries, which XLA puts there whole; returns how many were new.

    Where the directory takes none, entries stay without, and the next start does not trust them.
    """
    new = 0
    for entry in list(_entries(directory)):
        digest = entry.with_suffix(_DIGEST)
        with contextlib.suppress(OSError):
            if not digest.exists():
                text = _digest(entry)
                with tempfile.NamedTemporaryFile("w", dir=directory, delete=False) as file:
                    file.write(text)
                os.replace(file.name, digest)
                new += 1
    return new


class Faster:
    """Keys of compilations that were found to gain, as empty files in the cache's directory, if it takes any."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __contains__(self, key: object) -> bool:
        return (self._directory / f"{key}{_FASTER}").exists()

    def add(self, key: str) -> None:
        with contextlib.suppress(OSError):
            (self._directory / f"{key}{_FASTER}").touch()


def _kind(threads: int) -> str:
    """Tells apart what must not be mixed."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        raise Unusable("this system does not say which instructions its processor knows") from None
    cpu = sorted({match.group() for match in _CPU_LINES.finditer(text)})
    versions = []
    for package in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    options = [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")]
    known = repr((versions, platform.machine(), cpu, options, threads))
    return hashlib.blake2b(known.encode(), digest_size=12).hexdigest()


def _check_owner(directory: Path) -> None:
    """Who may write there may run code in our place."""
    state = directory.stat()
    if state.st_uid not in (os.geteuid(), 0):
        raise Unusable("it belongs to another user")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable("other users may write there; expected permissions 0700")


def _tidy(directory: Path, most_bytes: int) -> None:
    """Removes what is not sound, and of the rest the oldest, down to half the room where it is more than all of it."""
    sound: list[tuple[float, int, Path]] = []
    files = set(directory.iterdir())
    for file in [file for file in files if file.suffix == _ENTRY and _is_sound(file)]:
        state = file.stat()
        sound.append((state.st_mtime, state.st_size, file))
        files -= {file, file.with_suffix(_DIGEST)}
    faster = sorted((file for file in files if file.suffix == _FASTER), key=lambda file: file.lstat().st_mtime)
    files -= set(faster)
    for file in faster[: -_MOST_FASTER // 2] if len(faster) > _MOST_FASTER else ():
        _drop(file)
    for file in files:  # entries that are damaged or have no digest, and what a killed process had begun to write
        if file.suffix in (_ENTRY, _DIGEST) or file.lstat().st_mtime < time.time() - _BEING_WRITTEN_SECONDS:
            _drop(file)
    room = most_bytes if sum(size for _, size, _ in sound) <= most_bytes else most_bytes // 2
    for _, size, file in sorted(sound, reverse=True):
        room -= size
        if room < 0:
            _drop(file)
            _drop(file.with_suffix(_DIGEST))


def _drop(file: Path) -> None:
    """Removes a file. A directory of its name is in nobody's way, but what could be read and not removed is."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        file.unlink()


def _is_sound(entry: Path) -> bool:
    state = entry.lstat()
    if not stat.S_ISREG(state.st_mode) or state.st_uid not in (os.geteuid(), 0):
        return False
    try:
        return entry.with_suffix(_DIGEST).read_text(encoding="ascii", errors="replace") == _digest(entry)
    except OSError:
        return False


def _entries(directory: Path) -> Iterator[Path]:
    return directory.glob(f"*{_ENTRY}")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()
