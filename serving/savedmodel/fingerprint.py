"""Tells whether two graphs are the same, however their nodes are ordered and their functions are named.

Both differ between two runs of one training script: exports number functions and walk through hash maps. A node is
known by what it computes: its op, its attributes and the nodes that it reads, all the way to the inputs and variables,
which go by their names (Merkle, "A Digital Signature Based on a Conventional Encryption Function", 1987).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import constants

from serving.savedmodel.references import node_of

# What these stand for is told by their names alone.
_NAMED = frozenset({"Placeholder", "PlaceholderWithDefault", "VarHandleOp", "HashTable", "HashTableV2"})
# A table that nobody else can find: its name is made up anew by each export.
_RANDOM = frozenset({("HashTable", "shared_name"), ("HashTableV2", "shared_name"), ("VarHandleOp", "debug_name")})

# With an underscore attributes are hints, and none of the op's own; but this one selects a kernel.
_TELLING_HINT = "_kernel"

_Hashes = Mapping[str, bytes]


class Cyclic(Exception):
    """The graph has a cycle: a loop of TensorFlow 1, or a function that calls itself."""


def fingerprint(meta_graph: meta_graph_pb2.MetaGraphDef) -> bytes:
    """A hash of the signatures and of how the graph is initialised; how its weights are saved does not matter.

    Raises Cyclic where there is no beginning to hash from, KeyError where a node is missing.
    """
    graph = meta_graph.graph_def
    functions = _Functions({function.signature.name: function for function in graph.library.function})
    # Fed when the graph is initialised: the path that they hold is that of the training machine.
    assets = {
        node_of(asset.tensor_info.name): b"asset " + asset.filename.encode() for asset in meta_graph.asset_file_def
    }
    signatures = sorted(meta_graph.signature_def.items())
    tensors = [
        info for _, definition in signatures for info in (*definition.inputs.values(), *definition.outputs.values())
    ]
    initialising = [
        (key, name)
        for key in (constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY)
        if key in meta_graph.collection_def
        for name in meta_graph.collection_def[key].node_list.value
    ]
    roots = [node_of(name) for name in (*(info.name for info in tensors), *(name for _, name in initialising)) if name]
    nodes = functions.hashes(graph.node, assets, roots)
    return _hash(
        [
            str(graph.versions.producer).encode(),
            _hash(_hash([key.encode(), _signature(definition, nodes)]) for key, definition in signatures),
            _hash(_hash([key.encode(), _tensor(name, nodes)]) for key, name in initialising),
            _hash(sorted(assets.values())),
        ]
    )


def _signature(definition: meta_graph_pb2.SignatureDef, nodes: _Hashes) -> bytes:
    def told(name: str, info: meta_graph_pb2.TensorInfo) -> bytes:
        form = meta_graph_pb2.TensorInfo()
        form.CopyFrom(info)
        form.ClearField("name")
        tensor = _tensor(info.name, nodes) if info.name else b""
        return _hash([name.encode(), tensor, form.SerializeToString(deterministic=True)])

    defaults = sorted(definition.defaults.items())
    return _hash(
        [
            definition.method_name.encode(),
            _hash(told(name, info) for name, info in sorted(definition.inputs.items())),
            _hash(told(name, info) for name, info in sorted(definition.outputs.items())),
            _hash(_hash([name.encode(), value.SerializeToString(deterministic=True)]) for name, value in defaults),
        ]
    )


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
            results = [_tensor(function.ret[arg.name], nodes) for arg in function.signature.output_arg]
            awaited = sorted(_tensor(node, nodes) for node in function.control_ret.values())
            self._known[name] = _hash([_hash(sorted(nodes.values())), _hash(results), _hash(awaited)])
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
            missing = [] if name in done else [s for s in map(node_of, by_name[name].input) if s not in done]
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
        attributes = {
            key: value
            for key, value in node.attr.items()
            if (not key.startswith("_") or key == _TELLING_HINT) and (node.op, key) not in _RANDOM
        }
        return _hash(
            [
                self.hash(node.op) if node.op in self else node.op.encode(),
                node.device.encode(),
                node.name.encode() if node.op in _NAMED else b"",
                self._attributes(attributes),
                _hash(_tensor(name, done) for name in node.input if not name.startswith("^")),
                _hash(sorted(_tensor(name, done) for name in node.input if name.startswith("^"))),
            ]
        )

    def _attribute(self, value: attr_value_pb2.AttrValue) -> bytes:
        called = [value.func] if value.HasField("func") else list(value.list.func)
        if not called:
            return bytes(value.SerializeToString(deterministic=True))
        return _hash(_hash([self.hash(function.name), self._attributes(function.attr)]) for function in called)

    def _attributes(self, attributes: Mapping[str, attr_value_pb2.AttrValue]) -> bytes:
        return _hash(_hash([key.encode(), self._attribute(value)]) for key, value in sorted(attributes.items()))


def _tensor(reference: str, nodes: _Hashes) -> bytes:
    """Which output of which node; a control input likewise."""
    _, _, output = reference.partition(":")
    return _hash([nodes[node_of(reference)], (output or "0").encode()])


def _hash(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
