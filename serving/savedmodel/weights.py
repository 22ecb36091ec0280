"""Which entry of a version's checkpoint belongs to which of its variables, and how they get into a live session."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.savedmodel.references import node_of

# All that restoring variables takes. An op beside these may do something to the values.
_RESTORING = frozenset(
    {
        "Const",
        "Identity",
        "NoOp",
        "Placeholder",
        "PlaceholderWithDefault",
        "RestoreV2",
        "VarHandleOp",
        "DisableCopyOnRead",
    }
)

_Nodes = Mapping[str, node_def_pb2.NodeDef]


class Unreadable(Exception):
    """The graph restores its weights in a way that is not understood here; only its own restoring will do."""


def checkpoint_keys(meta_graph: meta_graph_pb2.MetaGraphDef) -> Mapping[str, str]:
    """Checkpoint keys by the names of the variables that the graph's restore op assigns them to.

    Equal graphs may well differ in it: exports number what they save in no certain order. Raises Unreadable.
    """
    name = meta_graph.saver_def.restore_op_name
    if not name:
        raise Unreadable("there is no restore op")
    graph: _Nodes = {node.name: node for node in meta_graph.graph_def.node}
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    keys: dict[str, str] = {}
    waiting, seen = [name], set()
    while waiting:
        node = graph.get(node_of(waiting.pop()))
        if node is None:
            raise Unreadable("a node is missing")
        if node.name in seen:
            continue
        seen.add(node.name)
        waiting += node.input
        if node.op == "AssignVariableOp":
            keys[node_of(node.input[0])] = _key(graph, node.input[1])
        elif node.op in ("StatefulPartitionedCall", "PartitionedCall"):
            function = functions[node.attr["f"].func.name]
            body: _Nodes = {inner.name: inner for inner in function.node_def}
            arguments = [argument.name for argument in function.signature.input_arg]
            given = dict(zip(arguments, node.input, strict=False))
            for inner in function.node_def:
                if inner.op == "AssignVariableOp":
                    keys[node_of(given[inner.input[0]])] = _key(body, inner.input[1])
                elif inner.op not in _RESTORING:
                    raise Unreadable(f"restoring involves {inner.op}")
        elif node.op not in _RESTORING:
            raise Unreadable(f"restoring involves {node.op}")
    return keys


def _key(nodes: _Nodes, tensor: str) -> str:
    while (node := nodes.get(node_of(tensor))) is not None and node.op == "Identity":
        tensor = node.input[0]
    if node is None or node.op != "RestoreV2":
        raise Unreadable("a variable's value is computed")
    index = int(tensor.rpartition(":")[2]) if ":" in tensor else 0
    names, slices = (_strings(nodes, node.input[i]) for i in (1, 2))
    if slices[index]:
        raise Unreadable("a variable is restored in parts")
    return names[index].decode()


def _strings(nodes: _Nodes, tensor: str) -> Sequence[bytes]:
    node = nodes.get(node_of(tensor))
    if node is None or node.op != "Const":
        raise Unreadable("the names of what is restored are computed")
    strings: Sequence[bytes] = tf.make_ndarray(node.attr["value"].tensor).ravel().tolist()
    return strings


class Weights:
    """The variables `names` of a session that comes to serve one version after another."""

    def __init__(self, session: tf.compat.v1.Session, names: Sequence[str]) -> None:
        self._session = session
        self._names = names
        with session.graph.as_default():
            handles = [session.graph.get_operation_by_name(name) for name in names]
            self._path = tf.compat.v1.placeholder(tf.string, [])
            self._keys = tf.compat.v1.placeholder(tf.string, [len(handles)])
            types = [tf.as_dtype(op.get_attr("dtype")) for op in handles]
            values = (
                tf.raw_ops.RestoreV2(
                    prefix=self._path, tensor_names=self._keys, shape_and_slices=[""] * len(handles), dtypes=types
                )
                if handles
                else []
            )
            self._restoring = tf.group(
                *(
                    tf.raw_ops.AssignVariableOp(resource=op.outputs[0], value=value)
                    for op, value in zip(handles, values, strict=True)
                )
            )
            # Those that the checkpoint lacks as well: what initialises them may do so only if they are not there.
            everything = [op.outputs[0] for op in session.graph.get_operations() if op.type == "VarHandleOp"]
            self._forgetting = tf.group(
                *(tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True) for handle in everything)
            )

    def restore(self, keys: Mapping[str, str], version: Path) -> None:
        """Takes the weights of a version directory, whose keys these are.

        Raises ValueError where they are other variables' keys, and OpError where they are not in the checkpoint.
        """
        if keys.keys() != set(self._names):
            raise ValueError(f"expected weights of {sorted(self._names)}, got those of {sorted(keys)}")
        if self._names:
            path = str(version / "variables" / "variables")
            names = [keys[name] for name in self._names]
            self._session.run(self._restoring, {self._path: path, self._keys: names})

    def forget(self) -> None:
        """Gives the weights' memory back."""
        self._session.run(self._forgetting)
