"""Loads SavedModels, of TensorFlow 1 or 2, so that they can be given back whole.

A session owns everything a version needs (variables, tables, thread pools, compiled code), and closing it returns
the memory; `tf.saved_model.load` keeps 3 MiB a round. Where the next version has the same graph, it takes the session
over (`spares`).
"""

import contextlib
import ctypes
import gc
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from serving.errors import FailedPrecondition
from serving.savedmodel.host import Host
from serving.savedmodel.program import Program
from serving.savedmodel.spares import Spares, kind_of
from serving.savedmodel.weights import Unreadable, checkpoint_keys

_log = logging.getLogger(__name__)
_WORTH_TRIMMING = 1 << 20


class SavedModel:
    """One loaded version. `close` gives its memory back; nothing may run then."""

    def __init__(self, host: Host, kind: str | None, weight_bytes: int) -> None:
        self.signatures = host.signatures
        self._host: Host | None = host
        self._kind = kind
        self._weight_bytes = weight_bytes

    @property
    def programs(self) -> Mapping[str, Program]:
        """The signatures that can be run, by name."""
        return self.signatures.programs

    def close(self) -> None:
        """Gives the weights back, and all the rest unless another version of the same graph still serves."""
        host, self._host = self._host, None
        if host is None:
            return  # it may belong to another version by now
        surplus = [host]
        if self._kind is not None:
            kept = host if _spares.wants(self._kind) and host.forget() else None
            surplus = ([] if kept else surplus) + _spares.leave(self._kind, kept)
        for unwanted in surplus:
            unwanted.close()
        if surplus:
            gc.collect()  # the graph's Python objects are full of cycles
        if surplus or self._weight_bytes > _WORTH_TRIMMING:
            _trim()


_spares: Spares[Host] = Spares()


def load(
    path: Path,
    *,
    threads: int = 0,
    calls: int = 0,
    tags: Sequence[str] = (tf.saved_model.SERVING,),
    gpu_memory_fraction: float = 0.0,
    model: str = "",
) -> SavedModel:
    """Loads the graph with exactly these tags of a SavedModel directory, as saved_model.pb or saved_model.pbtxt.

    threads: processor threads for one operation; 0 for one per core.
    calls: operations that may run at once; 0 for as many as threads, and two at least.
    gpu_memory_fraction: what each graphics card's memory may be taken of; 0 takes what is needed, as it is needed.
    model: what the log calls it.
    Raises FailedPrecondition where the directory holds no servable SavedModel.
    """
    kind = None
    try:
        loader = loader_impl.SavedModelLoader(str(path))
        meta_graph = loader.get_meta_graph_def_from_tags(tags)
        weight_bytes = sum(file.stat().st_size for file in (path / "variables").glob("*"))
        kind, keys = _kind_and_keys(meta_graph, path, (threads, calls, tuple(tags), gpu_memory_fraction))
        spare = _spares.enter(kind) if kind is not None else None
        host = _taken_over(spare, meta_graph, keys, path, model)
        if host is None:
            config = tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads,
                inter_op_parallelism_threads=calls or max(threads, 2),
                use_per_session_threads=True,
                allow_soft_placement=True,
            )
            config.graph_options.rewrite_options.disable_tfg_optimizer = True  # a second and a half more
            config.gpu_options.allow_growth = not gpu_memory_fraction
            config.gpu_options.per_process_gpu_memory_fraction = gpu_memory_fraction
            host = Host(config, loader, tags, tuple(keys), model)
        return SavedModel(host, kind, weight_bytes)
    except BaseException as error:
        for surplus in _spares.leave(kind, None) if kind is not None else ():
            surplus.close()
        if isinstance(error, OSError | RuntimeError | ValueError | KeyError | TypeError | tf.errors.OpError):
            raise FailedPrecondition(f"cannot load this SavedModel: {_reason(error, path)}") from error
        raise


def _kind_and_keys(
    meta_graph: meta_graph_pb2.MetaGraphDef, path: Path, options: object
) -> tuple[str | None, Mapping[str, str]]:
    """What is the same for all versions that one session can serve in turn, and how this one's weights go into it."""
    try:
        kind = kind_of(meta_graph, path, options)
        return kind, checkpoint_keys(meta_graph) if kind is not None else {}
    except Unreadable as reason:
        _log.debug("the session of %s will not be taken over: %s", path, reason)
    except Exception:  # what only saves time must keep no model from being loaded
        _log.exception("%s cannot be compared with other versions", path)
    return None, {}


def _taken_over(
    spare: Host | None, meta_graph: meta_graph_pb2.MetaGraphDef, keys: Mapping[str, str], version: Path, model: str
) -> Host | None:
    """The spare with this version's weights; None where they do not go in: a session of its own will tell why."""
    if spare is None:
        return None
    try:
        spare.take(meta_graph, keys, version, model)
    except Exception as reason:
        _log.info("%s is not loaded into an earlier version's session: %s", model, reason)
        spare.close()
        return None
    return spare


def _trim() -> None:
    """Hands freed pages back to the system; glibc alone would keep most of them."""
    with contextlib.suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reason(error: Exception, path: Path) -> str:
    """The error's own words, less the folder they stand in."""
    text = getattr(error, "message", None) or str(error)
    return f"{type(error).__name__}: {text}".replace(str(path.parent), "…").split("\n\n")[0][:500]
