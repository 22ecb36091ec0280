"""Splits a signature's graph into what XLA can compile and what must stay on the host.

A label look-up at the end, or a tf.Example parser at the start, would cost a whole graph its compilation. So the
graph is first flattened (function calls inlined), then cut into stages: even stages run op by op on the host, odd
stages are compiled, and along every path the stages only ascend, so that no cycle can arise between them.
"""

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import graph_to_function_def, op_def_registry

from serving.savedmodel.inlining import Inlined, ancestors, functions_of
from serving.savedmodel.naming import name_of

# Ops that own or find state in the session: the partition uses the loaded graph's own, never a copy.
_LEAVES = frozenset(
    {"Placeholder", "PlaceholderWithDefault", "VarHandleOp", "HashTable", "HashTableV2", "MutableHashTableV2"}
)
# Of the ops with side effects or state, those that only read it, or only call what is looked into as well. A graph
# with any other is served as it is.
READS = frozenset(
    [
        "VarHandleOp",
        "ReadVariableOp",
        "VarIsInitializedOp",
        "VariableShape",
        "ResourceGather",
        "ResourceGatherNd",
        "DisableCopyOnRead",
        "HashTable",
        "HashTableV2",
        "MutableHashTable",
        "MutableHashTableV2",
        "LookupTableFind",
        "LookupTableFindV2",
        "LookupTableSizeV2",
        "StatefulPartitionedCall",
        "PartitionedCall",
        "While",
        "If",
        "Case",
    ]
)
# Stateless, and yet more than arithmetic: checks that must go on failing, control flow of TensorFlow 1, and what looks
# functions up by other ways than their names.
_CHECKS = re.compile(r"CheckNumerics|SymbolicGradient|(Ref)?(Enter|Exit|Switch|Merge|NextIteration)$")
# XLA has generators of its own, whose numbers are others.
_RANDOM = re.compile(r"Stateless(Random|Truncated|Parameterized|Multinomial|Shuffle)")
_HOST_OPS = re.compile(rf"LookupTable|Parse|Decode|Encode|(Eager)?PyFunc|Sparse|Ragged|{_RANDOM.pattern}")
# What XLA removes at no cost is not worth a compilation of its own.
_TRIVIAL = frozenset({"Const", "Identity", "IdentityN", "ReadVariableOp", "NoOp", "Shape", "StopGradient"})

_SHOWN = 200


class Unsplittable(Exception):
    """The signature can only be run by the plain graph."""


@dataclass(frozen=True)
class Twin:
    """A compiled copy of a signature in the same graph.

    key: the same where the same is computed in the same parts, whatever the weights are.
    """

    outputs: Sequence[tf.Tensor]
    key: str


@dataclass(frozen=True)
class _Kinds:
    """What becomes of ops.

    fed: names of those whose tensors are inputs. host_ops: types that XLA lacks. own: names of those in no call.
    """

    fed: AbstractSet[str]
    host_ops: AbstractSet[str]
    own: AbstractSet[str]

    def is_leaf(self, op: tf.Operation) -> bool:
        """Whether it is the loaded graph's own, and no copy."""
        return (op.type in _LEAVES and op.name in self.own) or op.name in self.fed

    def is_constant(self, op: tf.Operation) -> bool:
        return op.type == "Const" and op.name not in self.fed

    def is_host(self, op: tf.Operation) -> bool:
        tensors = (*op.inputs, *op.outputs)
        return (
            self.is_leaf(op)
            or op.type in self.host_ops
            or _HOST_OPS.match(op.type) is not None
            or any(tensor.dtype == tf.string for tensor in tensors)
            or all(tensor.dtype == tf.resource for tensor in tensors)  # a handle on its way, not a loop's state
        )


def add_twin(
    graph: tf.Graph, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor], host_ops: Iterable[str] = ()
) -> Twin:
    """Adds a compiled twin of inputs → outputs to `graph`.

    host_ops: names of further op types to keep on the host (XLA names them when it refuses a graph).
    Raises Unsplittable where nothing is worth compiling or the graph forbids it.
    """
    whole = graph.as_graph_def()
    _refuse_effects(whole, outputs)
    fed = frozenset(tensor.op.name for tensor in inputs)
    try:
        inlined = Inlined(graph, whole, [tensor.name for tensor in outputs], fed)
        return _cut(graph, inlined, _Kinds(fed, frozenset(host_ops), inlined.own), outputs)
    except (KeyError, ValueError, RecursionError) as error:  # TensorFlow's own tools, of graphs that they do not expect
        raise Unsplittable(f"the graph cannot be cut: {str(error)[:_SHOWN]}") from error


def _cut(graph: tf.Graph, inlined: Inlined, kinds: _Kinds, outputs: Sequence[tf.Tensor]) -> Twin:
    flat = inlined.definition
    for op in sorted({node.op for function in flat.library.function for node in function.node_def}):
        if _RANDOM.match(op):
            raise Unsplittable(f"a loop or branch has a {op} op")
    scratch = tf.Graph()
    with scratch.as_default():
        tf.import_graph_def(flat, name="")
    wanted = [scratch.get_tensor_by_name(_full(inlined.tensor(tensor.name))) for tensor in outputs]
    order = _topological(wanted, kinds)
    stages = _stages(order, kinds)
    if not any(stage % 2 and op.type not in _TRIVIAL for op, stage in stages.items()):
        raise Unsplittable("there is nothing to compile")
    twins, compiled = _rebuild(graph, flat, order, stages, wanted, kinds)
    key = hashlib.blake2b(repr(([tensor.name for tensor in wanted], compiled)).encode(), digest_size=16)
    key.update(flat.SerializeToString(deterministic=True))
    return Twin(twins, key.hexdigest())


def refuse_effects(graph: tf.Graph, outputs: Sequence[tf.Tensor]) -> None:
    """Raises Unsplittable where anything that the outputs wait for, in calls too, does more than compute."""
    _refuse_effects(graph.as_graph_def(), outputs)


def _refuse_effects(whole: graph_pb2.GraphDef, outputs: Sequence[tf.Tensor]) -> None:
    functions = {function.signature.name: function for function in whole.library.function}
    roots = [tensor.op.name for tensor in outputs]
    nodes = [*ancestors({node.name: node for node in whole.node}, roots, control=True)]
    bodies = [nodes, *(functions[name].node_def for name in functions_of(nodes, functions))]
    for op in sorted({node.op for body in bodies for node in body}):
        if _has_effects(op, functions):
            raise Unsplittable(f"the graph has a {op} op")


def _has_effects(op: str, functions: Container[str]) -> bool:
    if op in READS or op in functions:
        return False
    definition = op_def_registry.get(op)
    return definition is None or definition.is_stateful or _CHECKS.match(op) is not None


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def _topological(outputs: Sequence[tf.Tensor], kinds: _Kinds) -> list[tf.Operation]:
    order: dict[tf.Operation, None] = {}
    waiting = [(tensor.op, False) for tensor in outputs]
    while waiting:
        op, expanded = waiting.pop()
        if op in order:
            continue
        if expanded or kinds.is_leaf(op):
            order[op] = None
        else:
            waiting.append((op, True))
            waiting += [(tensor.op, False) for tensor in op.inputs]
    return list(order)


def _stages(order: Sequence[tf.Operation], kinds: _Kinds) -> dict[tf.Operation, int]:
    """The least stage for each op: even for host ops, odd for compiled ones, never below its inputs'.

    Constants have no stage: each part that uses one gets its own copy.
    """
    stages: dict[tf.Operation, int] = {}
    for op in order:
        if kinds.is_constant(op):
            continue
        floor = max((stages[tensor.op] for tensor in op.inputs if tensor.op in stages), default=0)
        stages[op] = floor if (floor % 2 == 0) == kinds.is_host(op) else floor + 1
    return stages


def _rebuild(
    graph: tf.Graph,
    flat: graph_pb2.GraphDef,
    order: Sequence[tf.Operation],
    stages: dict[tf.Operation, int],
    wanted: Sequence[tf.Tensor],
    kinds: _Kinds,
) -> tuple[list[tf.Tensor], list[str]]:
    """Imports the stages one after another into `graph`, the odd ones as compiled functions.

    Returns the tensors in place of those that are wanted, and the functions' names.
    """
    nodes = {node.name: node for node in flat.node}
    final = {tensor.name for tensor in wanted}
    values: dict[str, tf.Tensor] = {}
    compiled: list[str] = []
    with graph.as_default():
        for stage in sorted(set(stages.values())):
            members = [op for op in order if stages.get(op) == stage]
            for op in members:
                if kinds.is_leaf(op):
                    values.update((tensor.name, graph.get_tensor_by_name(tensor.name)) for tensor in op.outputs)
            members = [op for op in members if not kinds.is_leaf(op)]
            if not members:
                continue
            sources = {tensor.op for op in members for tensor in op.inputs}
            inside = set(members) | {op for op in sources if kinds.is_constant(op)}
            arguments = list(
                dict.fromkeys(tensor.name for op in members for tensor in op.inputs if tensor.op not in inside)
            )
            results = [
                tensor.name
                for op in members
                for tensor in op.outputs
                if tensor.name in final or any(consumer not in inside for consumer in tensor.consumers())
            ]
            part = graph_pb2.GraphDef(versions=flat.versions, library=flat.library)
            part.node.extend(nodes[op.name] for op in order if op in inside)
            given, names = [values[name] for name in arguments], results
            if stage % 2 == 1 and any(op.type not in _TRIVIAL for op in members):
                part, names = _as_call(part, arguments, results, given)
                compiled.append(part.library.function[-1].signature.name)
            mapping = dict(zip(arguments, given, strict=True))
            made = tf.import_graph_def(part, input_map=mapping, return_elements=names, name="stage")
            values.update(zip(results, made, strict=True))
        for tensor in wanted:
            if kinds.is_constant(tensor.op):
                constant = graph_pb2.GraphDef(node=[nodes[tensor.op.name]], versions=flat.versions)
                (values[tensor.name],) = tf.import_graph_def(constant, return_elements=[tensor.name], name="stage")
            elif kinds.is_leaf(tensor.op):  # no session fetches what it is fed
                values[tensor.name] = tf.identity(values[tensor.name], name="stage/leaf")
        return [values[tensor.name] for tensor in wanted], compiled


def _as_call(
    part: graph_pb2.GraphDef, arguments: Sequence[str], results: Sequence[str], values: Sequence[tf.Tensor]
) -> tuple[graph_pb2.GraphDef, list[str]]:
    """A graph that calls `part` as one compiled function, its library's last; and its results' names there.

    tf.function would name it by a number that counts what the process has traced.
    """
    inside = tf.Graph()
    with inside.as_default():
        inputs = [tf.compat.v1.placeholder(value.dtype, value.shape) for value in values]
        outputs = tf.import_graph_def(
            part, input_map=dict(zip(arguments, inputs, strict=True)), return_elements=list(results), name=""
        )
    function = graph_to_function_def.graph_to_function_def(inside, inside.get_operations(), inputs, outputs)
    function.signature.name = name_of(function, part.library)
    function.attr["_XlaMustCompile"].b = True
    # Kept from the session's optimizer, which would take seconds over what XLA does anyhow.
    function.attr["_tf_data_function"].b = True
    whole = graph_pb2.GraphDef(versions=part.versions, library=part.library)
    whole.library.function.append(function)
    call = whole.node.add(name="compiled", op="StatefulPartitionedCall", input=arguments)
    call.attr["Tin"].list.type.extend(tensor.dtype.as_datatype_enum for tensor in inputs)
    call.attr["Tout"].list.type.extend(tensor.dtype.as_datatype_enum for tensor in outputs)
    call.attr["f"].func.name = function.signature.name
    call.attr["_XlaMustCompile"].b = True
    return whole, [f"compiled:{index}" for index in range(len(outputs))]


def without_jit(meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Takes the order to compile out of a graph, in place.

    A shape that was never seen would otherwise wait for its compilation inside the request. The partition puts
    compilation back, for the shapes that are ready.
    """
    bodies = [meta_graph.graph_def.node]
    for function in meta_graph.graph_def.library.function:
        function.attr.pop("_XlaMustCompile", None)
        bodies.append(function.node_def)
    for node in (node for body in bodies for node in body):
        _forget_jit(node)


def _forget_jit(node: node_def_pb2.NodeDef) -> None:
    for key in ("_XlaMustCompile", "_XlaCompile"):
        node.attr.pop(key, None)
