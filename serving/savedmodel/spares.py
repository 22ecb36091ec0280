"""Lets a version take over the session of one that had the same graph: its code stays, only the weights are new.

A model that was trained anew is nearly always the same graph with other weights. Importing, splitting and compiling
that graph is most of what a version costs, and competes with the traffic; so a session that is given up while another
version of the same graph still serves is kept, without its weights, for the version that comes next.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import op_def_registry

from serving.savedmodel.fingerprint import Cyclic, fingerprint
from serving.savedmodel.partition import READS

# Of the ops with side effects or state, those that leave nothing in a session but variables, which every version brings
# anew, and tables that are filled once, from the graph and its assets, which are the same.
_HARMLESS = (READS - {"MutableHashTable", "MutableHashTableV2"}) | {
    "Assert",
    "AssignVariableOp",
    "InitializeTable",
    "InitializeTableFromTextFile",
    "InitializeTableFromTextFileV2",
    "InitializeTableV2",
    "LookupTableImport",
    "LookupTableImportV2",
    "MergeV2Checkpoints",
    "RestoreV2",
    "SaveV2",
}
_MOST_ASSET_BYTES = 64 << 20

T = TypeVar("T")


class Spares(Generic[T]):
    """At most one spare of each kind, and none of a kind that nobody uses. Thread-safe."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()
        self._spares: dict[str, T] = {}
        self._lock = threading.Lock()

    def enter(self, kind: str) -> T | None:
        """Counts a user in, and hands over the spare if there is one."""
        with self._lock:
            self._users[kind] += 1
            return self._spares.pop(kind, None)

    def wants(self, kind: str) -> bool:
        """Whether a session of this kind would be kept if its user left now."""
        with self._lock:
            return self._users[kind] > 1 and kind not in self._spares

    def leave(self, kind: str, spare: T | None) -> list[T]:
        """Counts a user out; keeps what it leaves, or returns what is to be given up."""
        with self._lock:
            self._users[kind] -= 1
            if self._users[kind] and spare is not None and kind not in self._spares:
                self._spares[kind] = spare
                return []
            surplus = [] if spare is None else [spare]
            if not self._users[kind]:
                del self._users[kind]
                surplus += [self._spares.pop(kind)] if kind in self._spares else []
            return surplus


def kind_of(meta_graph: meta_graph_pb2.MetaGraphDef, version: Path, options: object) -> str | None:
    """The same for all versions that one session can serve in turn; None for a graph whose session is not to be kept.

    Such a graph has other state than variables and constant tables, random numbers, loops of TensorFlow 1, or assets
    too large to compare.
    """
    graph, library = meta_graph.graph_def.node, meta_graph.graph_def.library
    bodies = [graph, *(function.node_def for function in library.function)]
    if library.gradient or not all(map(_is_harmless, {node.op for body in bodies for node in body})):
        return None
    try:
        known = fingerprint(meta_graph)
    except (Cyclic, KeyError):
        return None
    digest = hashlib.sha256(repr((options, known)).encode())
    room = _MOST_ASSET_BYTES
    for asset in _assets(version):
        room -= asset.stat().st_size
        if room < 0:
            return None
        digest.update(repr((asset.name, asset.stat().st_size)).encode())
        digest.update(asset.read_bytes())
    return digest.hexdigest()


def _is_harmless(op: str) -> bool:
    definition = op_def_registry.get(op)
    return op in _HARMLESS or definition is None or not definition.is_stateful


def _assets(version: Path) -> Iterator[Path]:
    folder = version / "assets"
    if folder.is_dir():
        yield from sorted(file for file in folder.rglob("*") if file.is_file())
