"""A graph in its session, which may come to serve one version after another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from serving.savedmodel.partition import without_jit
from serving.savedmodel.signatures import read_definitions, read_signatures
from serving.savedmodel.weights import Weights


class Host:
    """Opens a session, and imports, restores and initialises one version in it.

    restored: names of the variables that the checkpoint has.
    """

    def __init__(
        self,
        config: tf.compat.v1.ConfigProto,
        loader: loader_impl.SavedModelLoader,
        tags: Sequence[str],
        restored: Sequence[str],
        model: str,
    ) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        self._restored = restored
        self._weights: Weights | None = None
        self._meta_graph: meta_graph_pb2.MetaGraphDef = loader.get_meta_graph_def_from_tags(tags)
        try:
            without_jit(self._meta_graph)
            with self._session.graph.as_default():
                loader.load(self._session, tags)
            self.signatures = read_signatures(self._session, self._meta_graph, model)
        except BaseException:
            self.close()
            raise

    def forget(self) -> bool:
        """Gives the weights back; False where the session should go as well."""
        if any(program.has_seen_much for program in self.signatures.programs.values()):
            return False  # or what requests had compiled would pile up from version to version
        try:
            if self._weights is None:
                self._weights = Weights(self._session, self._restored)
            self._weights.forget()
        except (RuntimeError, ValueError, KeyError, tf.errors.OpError):
            return False
        return True

    def take(self, meta_graph: meta_graph_pb2.MetaGraphDef, keys: Mapping[str, str], version: Path, model: str) -> None:
        """Serves another version of the same graph from now on; to be called after `forget`.

        keys: where the variables' values stand in its checkpoint. Raises ValueError or OpError where its files
        do not hold what its graph names.
        """
        if self._weights is None:
            raise ValueError("expected a session without weights; this one has another version's")
        self._weights.restore(keys, version)
        with self._session.graph.as_default():
            # By the names of this graph, which the other one may use for other nodes.
            assets = loader_impl.get_asset_tensors(str(version), self._meta_graph)
            initialising = loader_impl.get_init_op(self._meta_graph)
            if initialising is not None:
                self._session.run(initialising, feed_dict=assets)
        self.signatures = replace(self.signatures, definitions=read_definitions(meta_graph))
        for program in self.signatures.programs.values():
            program.renew(model)

    def close(self) -> None:
        """Gives everything back."""
        self._session.close()
