"""Calls of functions replaced by what they do, so that a graph can be cut where it needs to be.

Grappler does it too, but holds the interpreter's lock for as long as it takes: half a second for a graph of some
thousand nodes, in which nothing is answered.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2, graph_pb2, node_def_pb2
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from serving.savedmodel.references import node_of

_SLASH = re.compile("/")
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_Functions = Mapping[str, function_pb2.FunctionDef]


@dataclass(frozen=True)
class _Body:
    """A function's nodes. arguments: names of those that stand for its inputs. results: its outputs' tensors."""

    nodes: tuple[node_def_pb2.NodeDef, ...]
    arguments: tuple[str, ...]
    results: tuple[str, ...]


class Inlined:
    """A graph of data alone, without calls: what computes `roots`, and what only comes before or after it is left out.

    Loops and branches stay, and so do the functions that they call. Nothing in the graph may have effects.
    kept: names of nodes that stay even where they are calls.
    definition: the graph. Tensors of calls have other names in it: `tensor` tells them. No node that comes from a call
        has the name of one of the graph that was given.
    own: names of the nodes that come from no call.
    Raises ValueError or KeyError for a graph that is not made as TensorFlow makes them.
    """

    def __init__(
        self, graph: tf.Graph, whole: graph_pb2.GraphDef, roots: Sequence[str], kept: AbstractSet[str] = frozenset()
    ) -> None:
        self._functions: _Functions = {function.signature.name: function for function in whole.library.function}
        self._bodies: dict[str, _Body | None] = {}
        self._same: dict[str, str] = {}
        self._kept = kept
        named = {node.name: node for node in whole.node}
        needed = ancestors(named, [node_of(root) for root in roots])
        with graph.as_default():  # which knows the ops that are functions
            expanded = [*self._expanded(needed, _folders(named), frozenset())]
        nodes = {node.name: node for node in expanded}
        if len(nodes) < len(expanded):
            raise ValueError("two calls would give nodes the same name")
        for node in expanded:
            sources = [self.tensor(source) for source in node.input if not source.startswith("^")]
            del node.input[:]
            node.input.extend(sources)
            node.attr.pop("_class", None)
        self.own: AbstractSet[str] = named.keys() & nodes.keys()
        self.definition = graph_pb2.GraphDef(versions=whole.versions)
        self.definition.node.extend(ancestors(nodes, [node_of(self.tensor(root)) for root in roots]))
        called = functions_of(self.definition.node, self._functions)
        self.definition.library.function.extend(self._functions[name] for name in sorted(called))

    def tensor(self, name: str) -> str:
        """The name of a tensor of the graph that was given."""
        name = name.removesuffix(":0")
        while name in self._same:
            name = self._same[name]
        return name

    def _expanded(
        self, nodes: Iterable[node_def_pb2.NodeDef], taken: AbstractSet[str], inside: AbstractSet[str]
    ) -> Iterator[node_def_pb2.NodeDef]:
        """Copies of nodes, with those of a called function in place of the call.

        taken: folders in which nodes may be already. inside: the functions that the nodes are in.
        """
        for node in nodes:
            function = node.attr["f"].func.name if node.op in _CALLS else node.op
            stays = node.name in self._kept or function in inside or function not in self._functions
            body = None if stays else self._body(function)
            if body is None:
                copy = node_def_pb2.NodeDef()
                copy.CopyFrom(node)
                yield copy
                continue
            scope = f"{node.name}/body"
            while scope in taken:
                scope += "_"
            data = [source for source in node.input if not source.startswith("^")]
            given = dict(zip(body.arguments, data, strict=True))
            for index, result in enumerate(body.results):
                place = node.name if not index else f"{node.name}:{index}"
                self._same[place] = _within(scope, result, given)
            moved = [_moved(each, scope, given) for each in body.nodes]
            yield from self._expanded(moved, _folders(each.name for each in moved), inside | {function})

    def _body(self, name: str) -> _Body | None:
        """A function's body; None for one whose attributes its callers fill in."""
        if name not in self._bodies:
            function = self._functions[name]
            self._bodies[name] = None
            if not any(value.placeholder for node in function.node_def for value in node.attr.values()):
                flat, names = function_def_to_graph_def(function)
                arguments = tuple(argument.name for argument in function.signature.input_arg)
                results = tuple(names[function.ret[result.name]] for result in function.signature.output_arg)
                inner = tuple(node for node in flat.node if node.name not in arguments)
                self._bodies[name] = _Body(inner, arguments, results)
        return self._bodies[name]


def ancestors(
    nodes: Mapping[str, node_def_pb2.NodeDef], roots: Iterable[str], *, control: bool = False
) -> Iterator[node_def_pb2.NodeDef]:
    """The nodes named by `roots` and all that they read; with `control`, all that they wait for, too."""
    needed: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            yield nodes[name]
            waiting += [node_of(source) for source in nodes[name].input if control or not source.startswith("^")]


def functions_of(nodes: Iterable[node_def_pb2.NodeDef], functions: _Functions) -> AbstractSet[str]:
    """Names of the functions that nodes call, and that these call in turn."""
    called: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        for name in ({node.op, *(function.name for function in _referred(node))} & functions.keys()) - called:
            called.add(name)
            waiting += functions[name].node_def
    return called


def _referred(node: node_def_pb2.NodeDef) -> Iterator[attr_value_pb2.NameAttrList]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func
        yield from value.list.func


def _folders(names: Iterable[str]) -> AbstractSet[str]:
    """All that stands before a slash in one of the names."""
    return {name[: slash.start()] for name in names for slash in _SLASH.finditer(name)}


def _moved(node: node_def_pb2.NodeDef, scope: str, given: Mapping[str, str]) -> node_def_pb2.NodeDef:
    """A node of a function's body as a node of the graph that calls it."""
    moved = node_def_pb2.NodeDef(name=f"{scope}/{node.name}", op=node.op, device=node.device)
    moved.input.extend(_within(scope, source, given) for source in node.input if not source.startswith("^"))
    for key, value in node.attr.items():
        moved.attr[key].CopyFrom(value)
    return moved


def _within(scope: str, tensor: str, given: Mapping[str, str]) -> str:
    name = tensor.removesuffix(":0")
    return given.get(name, f"{scope}/{name}")
