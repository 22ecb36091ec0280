"""Loads SavedModels, of TensorFlow 1 or 2, so that they can be given back whole.

A session owns everything a version needs (variables, tables, thread pools, compiled code), and closing it returns
the memory; `tf.saved_model.load` keeps 3 MiB a round.
"""

import contextlib
import ctypes
import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from serving.errors import FailedPrecondition
from serving.savedmodel.partition import without_jit
from serving.savedmodel.program import Program
from serving.savedmodel.signatures import Signatures, read_signatures


@dataclass(frozen=True, slots=True)
class SavedModel:
    """One loaded version. `close` gives its memory back; nothing may run then."""

    signatures: Signatures
    session: tf.compat.v1.Session

    @property
    def programs(self) -> Mapping[str, Program]:
        """The signatures that can be run, by name."""
        return self.signatures.programs

    def close(self) -> None:
        self.session.close()
        gc.collect()  # the graph's Python objects are full of cycles
        _trim()


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
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=calls or max(threads, 2),
        use_per_session_threads=True,
        allow_soft_placement=True,
    )
    config.gpu_options.allow_growth = not gpu_memory_fraction
    config.gpu_options.per_process_gpu_memory_fraction = gpu_memory_fraction
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        loader = loader_impl.SavedModelLoader(str(path))
        without_jit(loader.get_meta_graph_def_from_tags(tags))
        with session.graph.as_default():
            meta_graph = loader.load(session, tags)
        return SavedModel(read_signatures(session, meta_graph, model), session)
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
