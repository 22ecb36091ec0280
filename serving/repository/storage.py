"""Where a model's versions lie: `<integer version>/saved_model.pb`, and whether each has come to rest."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from serving.errors import FailedPrecondition, Unavailable

Fingerprint = frozenset[tuple[str, int, int]]
"""(relative path, size, time of change in nanoseconds) of every file: equal twice means that nothing moved."""

_MOST_VERSION = 2**63 - 1  # what the protocols' version fields hold
GRAPHS = ("saved_model.pb", "saved_model.pbtxt")


class Store(Protocol):
    """One model's versions, wherever they lie. Every method blocks, and one thread at a time calls it."""

    def versions(self) -> Mapping[int, Fingerprint]:
        """A cheap listing of the versions that hold a graph; raises OSError or Unavailable where there is none."""

    def fetch(self, version: int) -> Path:
        """A local directory that holds the whole version, verified.

        Raises Unavailable for reasons that may pass, FailedPrecondition for others.
        """

    def drop(self, version: int) -> None:
        """Gives back what `fetch` took, once nothing reads the directory."""


class LocalStore:
    """Versions in a directory of this machine, served from where they lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self) -> Mapping[int, Fingerprint]:
        return {version: fingerprint(path) for version, path in versions_in(self._folder).items()}

    def fetch(self, version: int) -> Path:
        try:
            found = versions_in(self._folder)
        except OSError as error:
            raise Unavailable(f"the model's directory cannot be read: {error.strerror}") from error
        if version not in found:
            raise FailedPrecondition(f"version {version} has gone from its directory")
        return found[version]

    def drop(self, version: int) -> None:
        """Nothing was taken."""


def models_in(base: Path) -> Mapping[str, Path]:
    """The folders of `base` by name; hidden and temporary ones are not models. Raises OSError where there is none."""
    return {entry.name: entry for entry in sorted(base.iterdir()) if _is_model(entry)}


def versions_in(folder: Path) -> Mapping[int, Path]:
    """The version directories of a model that hold a graph, by number; raises OSError where there is no folder."""
    return {
        version: entry
        for entry in sorted(folder.iterdir())
        if (version := version_of(entry.name)) is not None and _has_graph(entry)
    }


def version_of(name: str) -> int | None:
    """The version that a directory of this name holds; None for other names."""
    version = int(name) if name.isascii() and name.isdigit() else None
    return version if version is not None and version <= _MOST_VERSION else None


def version_of_tag(tag_version: str) -> int:
    """The number that a packed model's tag begins with, as in NAME:3-5f2c…; 1 where it has none, as BentoML's own."""
    version = version_of(tag_version.partition("-")[0])
    return 1 if version is None else version


def fingerprint(path: Path) -> Fingerprint:
    """What every file below `path` looks like now."""
    found = set()
    for folder, _, files in os.walk(path):
        for name in files:
            file = os.path.join(folder, name)
            try:
                status = os.stat(file)
            except OSError:
                # Gone between the listing and the look, or a link into nothing: if a load minds, it will say so.
                found.add((os.path.relpath(file, path), -1, 0))
            else:
                found.add((os.path.relpath(file, path), status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _is_model(entry: Path) -> bool:
    return not entry.name.startswith(".") and not entry.name.endswith(".tmp") and entry.is_dir()


def _has_graph(version: Path) -> bool:
    try:
        return any((version / graph).is_file() for graph in GRAPHS)
    except OSError:
        return False
