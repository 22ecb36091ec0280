"""Gives equal graphs equal bytes, so that what was compiled for one in another process is found again.

Grappler writes the nodes of functions in no certain order, and TensorFlow numbers the functions that it makes in the
order in which a process comes to make them. XLA's cache on disk goes by both.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tensorflow.core.framework import function_pb2, node_def_pb2

from serving.savedmodel.references import node_of


def ordered(nodes: Iterable[node_def_pb2.NodeDef]) -> Sequence[node_def_pb2.NodeDef]:
    """The nodes of one body, each after those that it reads, and by name where that leaves a choice."""
    by_name = {node.name: node for node in nodes}
    missing: dict[str, int] = {}
    readers: dict[str, list[str]] = defaultdict(list)
    for name, node in by_name.items():
        sources = {node_of(source) for source in node.input} & by_name.keys()
        missing[name] = len(sources)
        for source in sources:
            readers[source].append(name)
    ready = sorted(name for name, count in missing.items() if not count)
    done: list[node_def_pb2.NodeDef] = []
    while ready:
        name = heapq.heappop(ready)
        done.append(by_name[name])
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    # What is left is in a circle, which only a loop of TensorFlow 1 can be.
    return done + [by_name[name] for name in sorted(by_name) if missing[name]]


def name_of(function: function_pb2.FunctionDef, library: function_pb2.FunctionDefLibrary) -> str:
    """A name for a function that tells what it does, by its own nodes and those of all that it may call."""
    digest = hashlib.blake2b(digest_size=12)
    for part in (function, *sorted(library.function, key=lambda each: each.signature.name)):
        data = part.SerializeToString(deterministic=True)
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return f"compiled_{digest.hexdigest()}"
