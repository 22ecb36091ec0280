"""Tells whether two graphs are the same, however their nodes are ordered and their functions are named.

Both differ between two runs of one training script: exports number functions and walk through hash maps. A node is
known by what it computes: its op, its attributes and the nodes that it reads, all the way to the inputs and variables,
which go by their names (Merkle, "A Digital Signature Based on a Conventional Encryption Function", 1987).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import constants

# What these stand for is told by their names alone.
_NAMED = frozenset({"Placeholder", "PlaceholderWithDefault", "VarHandleOp", "HashTable", "HashTableV2"})
# A table that nobody else can find: its name is made up anew by each export.
_RANDOM = frozenset({("HashTable", "shared_name"), ("HashTableV2", "shared_name"), ("VarHandleOp", "debug_name")})

_Hashes = Mapping[str, bytes]


class Cyclic(Exception):
    """The graph has a cycle: a loop of TensorFlow 1, or a function that calls itself."""


def fingerprint(meta_graph: meta_graph_pb2.MetaGraphDef) -> bytes:
    """A hash of the signatures and of how the graph is initialised; how its weights are saved does not matter.

    Raises Cyclic where there is no beginning to hash from, KeyError where a node is missing.
    """
    functions = _Functions({function.signature.name: function for function in meta_graph.graph_def.library.function})
    parts = list(_parts(meta_graph))
    roots = [part.tensor for part in parts if isinstance(part, _Tensor)]
    nodes = functions.hashes(meta_graph.graph_def.node, {}, list(map(_source, roots)))
    return _hash(_reference(part.tensor, nodes) if isinstance(part, _Tensor) else part for part in parts)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Stands for the hash of a tensor, or of an op."""

    tensor: str


def _parts(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[bytes | _Tensor]:
    for key, signature in sorted(meta_graph.signature_def.items()):
        yield from (key.encode(), signature.method_name.encode())
        for tensors in (signature.inputs, signature.outputs):
            for name, info in sorted(tensors.items()):
                rest = type(info)()
                rest.CopyFrom(info)
                rest.ClearField("name")
                yield from (name.encode(), rest.SerializeToString(deterministic=True))
                if info.name:
                    yield _Tensor(info.name)
        for name, value in sorted(signature.defaults.items()):
            yield from (name.encode(), value.SerializeToString(deterministic=True))
    for key in (constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY):
        if key in meta_graph.collection_def:
            yield key.encode()
            yield from map(_Tensor, meta_graph.collection_def[key].node_list.value)
    for asset in meta_graph.asset_file_def:
        yield from (asset.filename.encode(), _Tensor(asset.tensor_info.name))


class _Functions:
    """The functions of one graph, hashed as they are met."""

    def __init__(self, functions: Mapping[str, function_pb2.FunctionDef]) -> None:
        self._functions = functions
        self._known: dict[str, bytes | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def hash(self, name: str) -> bytes:
        """What a function computes, whatever it is called."""
        if name not in self._known:
            self._known[name] = None
            function = self._functions[name]
            arguments = {arg.name: b"argument %d" % i for i, arg in enumerate(function.signature.input_arg)}
            nodes = self.hashes(function.node_def, arguments, [node.name for node in function.node_def])
            results = [_reference(function.ret[arg.name], nodes) for arg in function.signature.output_arg]
            self._known[name] = _hash([*sorted(nodes.values()), *results])
        known = self._known[name]
        if known is None:
            raise Cyclic(name)
        return known

    def hashes(self, nodes: Iterable[node_def_pb2.NodeDef], arguments: _Hashes, roots: Sequence[str]) -> _Hashes:
        """The hashes of the roots and of all that they wait for, by name, and those of the arguments."""
        by_name = {node.name: node for node in nodes}
        done: dict[str, bytes] = dict(arguments)
        entered: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting[-1]
            missing = [] if name in done else [s for s in map(_source, by_name[name].input) if s not in done]
            if not missing:
                waiting.pop()
                if name not in done:
                    done[name] = self._node(by_name[name], done)
            elif name in entered:
                raise Cyclic(name)
            else:
                entered.add(name)
                waiting += missing
        return done

    def _node(self, node: node_def_pb2.NodeDef, done: _Hashes) -> bytes:
        parts = [self.hash(node.op) if node.op in self else node.op.encode(), node.device.encode()]
        if node.op in _NAMED:
            parts.append(node.name.encode())
        for key, value in sorted(node.attr.items()):
            # With an underscore they are hints, no attributes of the op.
            if not key.startswith("_") and (node.op, key) not in _RANDOM:
                parts += [key.encode(), self._attribute(value)]
        references = [_reference(name, done) for name in node.input if not name.startswith("^")]
        orders = sorted(_reference(name, done) for name in node.input if name.startswith("^"))
        return _hash([*parts, *references, b"after", *orders])

    def _attribute(self, value: attr_value_pb2.AttrValue) -> bytes:
        called = [value.func] if value.HasField("func") else list(value.list.func)
        if not called:
            return bytes(value.SerializeToString(deterministic=True))
        return _hash(self.hash(function.name) for function in called)


def _reference(tensor: str, nodes: _Hashes) -> bytes:
    """A tensor as which output of what; a control input likewise."""
    name, _, output = tensor.partition(":")
    return nodes[name.removeprefix("^")] + (output or "0").encode()


def _source(tensor: str) -> str:
    return tensor.partition(":")[0].removeprefix("^")


def _hash(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
