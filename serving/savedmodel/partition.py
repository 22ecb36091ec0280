"""Splits a signature's graph into what XLA can compile and what must stay on the host.

A label look-up at the end, or a tf.Example parser at the start, would cost a whole graph its compilation. So the
graph is first flattened (function calls inlined), then cut into stages: even stages run op by op on the host, odd
stages are compiled, and along every path the stages only ascend, so that no cycle can arise between them.
"""

import re
from collections.abc import Collection, Container, Iterator, Sequence

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2, graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2, device_properties_pb2, meta_graph_pb2
from tensorflow.python.framework import graph_to_function_def, op_def_registry
from tensorflow.python.grappler import cluster, tf_optimizer

from serving.savedmodel.canonical import name_of, ordered
from serving.savedmodel.references import node_of

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
# Stateless, and yet more than arithmetic: checks that must go on failing, and control flow of TensorFlow 1.
_CHECKS = re.compile(r"CheckNumerics|(Ref)?(Enter|Exit|Switch|Merge|NextIteration)$")
_HOST_OPS = re.compile(r"LookupTable|Parse|Decode|Encode|(Eager)?PyFunc|Sparse|Ragged")
# What XLA removes at no cost is not worth a compilation of its own.
_TRIVIAL = frozenset({"Const", "Identity", "IdentityN", "ReadVariableOp", "NoOp", "Shape", "StopGradient"})

_PROCESSOR = device_properties_pb2.DeviceProperties(type="CPU", num_cores=1)


class Unsplittable(Exception):
    """The signature can only be run by the plain graph."""


def compiled_outputs(
    graph: tf.Graph, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor], host_ops: Collection[str] = ()
) -> list[tf.Tensor]:
    """Adds a compiled twin of inputs → outputs to `graph`, and returns the twin's outputs.

    host_ops: names of further op types to keep on the host (XLA names them when it refuses a graph).
    Raises Unsplittable where nothing is worth compiling or the graph's state forbids it.
    """
    refuse_effects(graph, outputs)
    flat = _flatten(graph, inputs, outputs)
    scratch = tf.Graph()
    with scratch.as_default():
        tf.import_graph_def(flat, name="")
    wanted = [scratch.get_tensor_by_name(tensor.name) for tensor in outputs]
    order = _topological(wanted)
    stages = _stages(order, frozenset(host_ops))
    if not any(stage % 2 and op.type not in _TRIVIAL for op, stage in stages.items()):
        raise Unsplittable("there is nothing to compile")
    return _rebuild(graph, flat, order, stages, wanted)


def _flatten(graph: tf.Graph, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor]) -> graph_pb2.GraphDef:
    """The signature's own nodes, with calls inlined and loops kept whole, under fresh function names."""
    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.CopyFrom(graph.as_graph_def())
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            if node.op in ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"):
                node.attr["_lower_using_switch_merge"].b = False
    fetches = meta.collection_def["train_op"].node_list.value
    fetches.extend(sorted({tensor.name for tensor in (*outputs, *inputs)}))
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1
    rewriting.optimizers.append("function")
    rewriting.function_optimization = rewriting.AGGRESSIVE
    # Without a device of its own, grappler would start a whole session to see what the machine has.
    machine = cluster.Cluster(devices=[device_properties_pb2.NamedDevice(name="/CPU:0", properties=_PROCESSOR)])
    optimised = tf_optimizer.OptimizeGraph(config, meta, cluster=machine)
    return _renamed(_pruned(optimised, [tensor.op.name for tensor in outputs]))


def refuse_effects(graph: tf.Graph, outputs: Sequence[tf.Tensor]) -> None:
    """Raises Unsplittable where anything that the outputs wait for, in calls too, does more than compute."""
    whole, roots = graph.as_graph_def(), [tensor.op.name for tensor in outputs]
    bodies = {function.signature.name: function.node_def for function in whole.library.function}
    waiting = [*_ancestors(whole, roots, control=True)]
    entered: set[str] = set()
    while waiting:
        node = waiting.pop()
        if _has_effects(node.op, bodies):
            raise Unsplittable(f"the graph has a {node.op} op")
        for name in {node.op, *(function.name for function in _functions(node))} & bodies.keys() - entered:
            entered.add(name)
            waiting += bodies[name]


def _has_effects(op: str, functions: Container[str]) -> bool:
    if op in READS or op in functions:
        return False
    definition = op_def_registry.get(op)
    return definition is None or definition.is_stateful or _CHECKS.match(op) is not None


def _pruned(whole: graph_pb2.GraphDef, roots: Sequence[str]) -> graph_pb2.GraphDef:
    kept = graph_pb2.GraphDef(library=whole.library, versions=whole.versions)
    for node in _ancestors(whole, roots, control=False):
        copy = kept.node.add()
        copy.CopyFrom(node)
        # Nothing here has effects, so that order alone carries no meaning.
        data = [source for source in node.input if not source.startswith("^")]
        del copy.input[:]
        copy.input.extend(data)
        copy.attr.pop("_class", None)
    return kept


def _ancestors(whole: graph_pb2.GraphDef, roots: Sequence[str], *, control: bool) -> Iterator[node_def_pb2.NodeDef]:
    nodes = {node.name: node for node in whole.node}
    needed: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            yield nodes[name]
            waiting += [node_of(source) for source in nodes[name].input if control or not source.startswith("^")]


def _functions(node: node_def_pb2.NodeDef) -> Iterator[attr_value_pb2.NameAttrList]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func
        yield from value.list.func


def _renamed(flat: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Grappler specialises functions under their old names, which the loaded graph still uses."""
    fresh = {function.signature.name: f"{function.signature.name}__flat" for function in flat.library.function}
    bodies = [flat.node, *(function.node_def for function in flat.library.function)]
    for node in (node for body in bodies for node in body):
        node.op = fresh.get(node.op, node.op)
        for function in _functions(node):
            function.name = fresh.get(function.name, function.name)
    for function in flat.library.function:
        function.signature.name = fresh[function.signature.name]
        nodes = function_pb2.FunctionDef(node_def=ordered(function.node_def)).node_def
        function.ClearField("node_def")
        function.node_def.extend(nodes)
    functions = sorted(flat.library.function, key=lambda function: str(function.signature.name))
    flat.library.CopyFrom(function_pb2.FunctionDefLibrary(function=functions, gradient=flat.library.gradient))
    for gradient in flat.library.gradient:
        gradient.function_name = fresh.get(gradient.function_name, gradient.function_name)
    return flat


def _topological(outputs: Sequence[tf.Tensor]) -> list[tf.Operation]:
    order: dict[tf.Operation, None] = {}
    waiting = [(tensor.op, False) for tensor in outputs]
    while waiting:
        op, expanded = waiting.pop()
        if op in order:
            continue
        if expanded:
            order[op] = None
        else:
            waiting.append((op, True))
            waiting += [(tensor.op, False) for tensor in op.inputs]
    return list(order)


def _stages(order: Sequence[tf.Operation], host_ops: frozenset[str]) -> dict[tf.Operation, int]:
    """The least stage for each op: even for host ops, odd for compiled ones, never below its inputs'.

    Constants have no stage: each part that uses one gets its own copy.
    """
    stages: dict[tf.Operation, int] = {}
    for op in order:
        if op.type == "Const":
            continue
        floor = max((stages[tensor.op] for tensor in op.inputs if tensor.op in stages), default=0)
        stages[op] = floor if (floor % 2 == 0) == _is_host(op, host_ops) else floor + 1
    return stages


def _is_host(op: tf.Operation, host_ops: frozenset[str]) -> bool:
    tensors = (*op.inputs, *op.outputs)
    return (
        op.type in _LEAVES
        or op.type in host_ops
        or _HOST_OPS.match(op.type) is not None
        or any(tensor.dtype == tf.string for tensor in tensors)
        or all(tensor.dtype == tf.resource for tensor in tensors)  # a handle on its way, not a loop's state
    )


def _rebuild(
    graph: tf.Graph,
    flat: graph_pb2.GraphDef,
    order: Sequence[tf.Operation],
    stages: dict[tf.Operation, int],
    wanted: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Imports the stages one after another into `graph`, the odd ones as compiled functions."""
    nodes = {node.name: node for node in flat.node}
    final = {tensor.name for tensor in wanted}
    values: dict[str, tf.Tensor] = {}
    with graph.as_default():
        for stage in sorted(set(stages.values())):
            members = [op for op in order if stages.get(op) == stage]
            for op in members:
                if op.type in _LEAVES:
                    values.update((tensor.name, graph.get_tensor_by_name(tensor.name)) for tensor in op.outputs)
            members = [op for op in members if op.type not in _LEAVES]
            if not members:
                continue
            inside = set(members) | {tensor.op for op in members for tensor in op.inputs if tensor.op.type == "Const"}
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
            worth = stage % 2 == 1 and any(op.type not in _TRIVIAL for op in members)
            outputs = _import(part, arguments, results, [values[name] for name in arguments], compiled=worth)
            values.update(zip(results, outputs, strict=True))
        return [
            values[tensor.name] if tensor.op.type != "Const" else graph.get_tensor_by_name(tensor.name)
            for tensor in wanted
        ]


def _import(
    part: graph_pb2.GraphDef,
    arguments: Sequence[str],
    results: Sequence[str],
    values: Sequence[tf.Tensor],
    *,
    compiled: bool,
) -> Sequence[tf.Tensor]:
    if compiled:
        part, results = _as_call(part, arguments, results, values)
    mapping = dict(zip(arguments, values, strict=True))
    outputs: Sequence[tf.Tensor] = tf.import_graph_def(
        part, input_map=mapping, return_elements=list(results), name="stage"
    )
    return outputs


def _as_call(
    part: graph_pb2.GraphDef, arguments: Sequence[str], results: Sequence[str], values: Sequence[tf.Tensor]
) -> tuple[graph_pb2.GraphDef, Sequence[str]]:
    """A graph that calls `part` as one compiled function, and what its results are called there.

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
