"""Loads SavedModels, of TensorFlow 1 or 2, so that they can be given back whole.

A session owns everything a version needs (variables, tables, thread pools, compiled code), and closing it returns
the memory; `tf.saved_model.load` keeps 3 MiB a round.
"""

import contextlib
import ctypes
import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from serving.errors import FailedPrecondition
from serving.savedmodel.partition import without_jit
from serving.savedmodel.program import Program
from serving.signature import Signature, TensorSpec


@dataclass(frozen=True, slots=True)
class SavedModel:
    """One loaded version. `close` gives its memory back; nothing may run then."""

    programs: Mapping[str, Program]
    session: tf.compat.v1.Session

    def close(self) -> None:
        self.session.close()
        gc.collect()  # the graph's Python objects are full of cycles
        _trim()


def load(path: Path, *, threads: int = 0) -> SavedModel:
    """Loads the graph tagged `serve` of a SavedModel directory.

    threads: processor threads for one call; 0 for one per core.
    Raises FailedPrecondition where the directory holds no servable SavedModel.
    """
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=max(threads, 2),
        use_per_session_threads=True,
        allow_soft_placement=True,
    )
    config.gpu_options.allow_growth = True
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        loader = loader_impl.SavedModelLoader(str(path))
        without_jit(loader.get_meta_graph_def_from_tags([tf.saved_model.SERVING]))
        with session.graph.as_default():
            meta_graph = loader.load(session, [tf.saved_model.SERVING])
        return SavedModel(MappingProxyType(_programs(session, meta_graph)), session)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        session.close()
        raise FailedPrecondition(f"cannot load this SavedModel: {_reason(error, path)}") from error


def _trim() -> None:
    """Hands freed pages back to the system; glibc alone would keep most of them."""
    with contextlib.suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reason(error: Exception, path: Path) -> str:
    """The error's own words, less the folder they stand in."""
    text = getattr(error, "message", None) or str(error)
    return f"{type(error).__name__}: {text}".replace(str(path.parent), "…").split("\n\n")[0][:500]


def _programs(session: tf.compat.v1.Session, meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, Program]:
    programs = {}
    for name, definition in meta_graph.signature_def.items():
        if name.startswith("__saved_model") or not definition.outputs:
            continue  # the initialiser, which has run
        tensors = (*definition.inputs.values(), *definition.outputs.values())
        if any(info.WhichOneof("encoding") != "name" for info in tensors):
            continue  # sparse and composite tensors have no form in the protocols
        feeds = {key: session.graph.get_tensor_by_name(info.name) for key, info in definition.inputs.items()}
        fetches = {key: session.graph.get_tensor_by_name(info.name) for key, info in definition.outputs.items()}
        signature = Signature(
            name=name,
            method_name=definition.method_name,
            inputs=MappingProxyType({key: _spec(key, definition.inputs[key]) for key in sorted(feeds)}),
            outputs=MappingProxyType({key: _spec(key, definition.outputs[key]) for key in sorted(fetches)}),
        )
        programs[name] = Program(session, signature, feeds, fetches)
    if not programs:
        raise ValueError("it has no signature with plain tensors")
    return programs


def _spec(name: str, info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = info.tensor_shape
    axes = None if shape.unknown_rank else tuple(None if d.size < 0 else int(d.size) for d in shape.dim)
    return TensorSpec(name, "string" if dtype == tf.string else dtype.name, axes)
