"""What lies in a model directory: `<name>/<integer version>/saved_model.pb`, and whether it has come to rest."""

import os
from collections.abc import Mapping
from pathlib import Path

Fingerprint = frozenset[tuple[str, int, int]]
"""(relative path, size, time of change in nanoseconds) of every file: equal twice means that nothing moved."""

_MOST = 2**63 - 1  # what the protocols' version fields hold
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")


def models_in(base: Path) -> Mapping[str, Path]:
    """The folders of `base` by name; hidden ones are not models."""
    return {entry.name: entry for entry in _entries(base) if not entry.name.startswith(".") and entry.is_dir()}


def versions_in(folder: Path) -> Mapping[int, Path]:
    """The version directories of a model that hold a graph, by number; what cannot be read is not there."""
    return {
        int(entry.name): entry
        for entry in _entries(folder)
        if entry.name.isascii() and entry.name.isdigit() and int(entry.name) <= _MOST and _has_graph(entry)
    }


def version_of_tag(tag_version: str) -> int:
    """The number that a packed model's tag begins with, as in NAME:3-5f2c…; 1 where it has none, as BentoML's own."""
    number = tag_version.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else 1


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


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _has_graph(version: Path) -> bool:
    try:
        return any((version / graph).is_file() for graph in _GRAPHS)
    except OSError:
        return False
