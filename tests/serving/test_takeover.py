"""A version of a graph that was loaded before goes into the session of one that left."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model import loader_impl

from serving.errors import FailedPrecondition
from serving.savedmodel import load
from serving.savedmodel.fingerprint import Cyclic, fingerprint
from serving.savedmodel.loading import _spares
from serving.savedmodel.spares import Spares, kind_of

from .savedmodels import Affine, Labelled, save

ROW = {"x": np.array([[1, 2, 3]], np.float32)}  # 14 by Affine's weights, and its bias


class Pair(tf.Module):
    """Subtracts one variable from the other; `swapped` gives them each other's places in the checkpoint."""

    def __init__(self, minuend: float, subtrahend: float, *, swapped: bool = False) -> None:
        super().__init__()
        minuend, subtrahend = tf.Variable(minuend, name="minuend"), tf.Variable(subtrahend, name="subtrahend")
        self.first, self.second = (subtrahend, minuend) if swapped else (minuend, subtrahend)
        self._pair = [minuend, subtrahend]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x * 0.0 + self._pair[0] - self._pair[1]}


class Worded(tf.Module):
    """Looks words up in a file of its own."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        initializer = tf.lookup.TextFileInitializer(
            str(file), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
        )
        self.table = tf.lookup.StaticHashTable(initializer, "?")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
    def serve(self, x):
        return {"y": self.table.lookup(x)}


class Counting(tf.Module):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
    def serve(self, x):
        return {"y": self.table.lookup(x)}


class Shift(tf.Module):
    """Adds a number that is in the graph."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.serve = tf.function(
            lambda x: {"y": x + number}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")]
        )


@pytest.fixture
def loaded(tmp_path):
    """Saves and loads modules as versions one after another, and closes what is open at the end."""
    models = []

    def build(module):
        path = save(module, tmp_path / str(len(models) + 1))
        models.append(load(path, threads=1, model=f"version {len(models) + 1}"))
        return models[-1]

    build.close = lambda model: (models.remove(model), models.append(None), model.close())
    yield build
    for model in filter(None, models):
        model.close()
    assert not _spares._spares
    assert not _spares._users


def kind(module, path):
    meta_graph = loader_impl.SavedModelLoader(str(save(module, path))).get_meta_graph_def_from_tags(["serve"])
    return kind_of(meta_graph, path, ())


def answer(model, inputs=ROW):
    return model.programs["serving_default"](inputs)["y"].tolist()


def test_the_third_version_takes_over_what_the_first_had_compiled(loaded):
    first = loaded(Affine(1.0))
    program = first.programs["serving_default"]
    assert program.compile(ROW, only_if_faster=False)
    second = loaded(Affine(2.0))
    assert second.programs["serving_default"] is not program
    loaded.close(first)
    third = loaded(Affine(3.0))
    assert third.programs["serving_default"] is program
    assert program.is_ready(ROW)
    assert program.called == "version 3, signature serving_default"
    assert answer(third) == [17.0]
    assert answer(second) == [16.0]
    assert answer(third, {"x": np.zeros((5, 3), np.float32)}) == [3.0] * 5  # not compiled


def test_only_the_code_is_kept(loaded):
    first, second = loaded(Affine(1.0)), loaded(Affine(2.0))
    loaded.close(first)
    (host,) = _spares._spares.values()
    with pytest.raises(tf.errors.FailedPreconditionError):
        host._session.run("StatefulPartitionedCall:0", {"serving_default_x:0": ROW["x"]})
    loaded.close(second)
    assert not _spares._spares


def test_weights_find_their_variables_wherever_the_checkpoint_has_them(loaded):
    first, second = loaded(Pair(5.0, 2.0)), loaded(Pair(7.0, 3.0))
    program = first.programs["serving_default"]
    loaded.close(first)
    third = loaded(Pair(11.0, 4.0, swapped=True))
    assert third.programs["serving_default"] is program
    one = {"x": np.zeros(1, np.float32)}
    assert (answer(second, one), answer(third, one)) == ([4.0], [7.0])


def test_tables_of_the_graph_stay_as_they_are(loaded):
    first, _ = loaded(Labelled()), loaded(Labelled())
    inputs = {"strokes": np.ones((2, 4, 2), np.float32)}
    program = first.programs["serving_default"]
    expected = program(inputs)["label"].tolist()
    loaded.close(first)
    third = loaded(Labelled())
    assert third.programs["serving_default"] is program
    assert program(inputs)["label"].tolist() == expected


def test_a_version_whose_weights_do_not_fit_hurts_none_before_or_after_it(loaded, tmp_path):
    first, second = loaded(Affine(1.0)), loaded(Affine(2.0))
    loaded.close(first)
    broken = save(Affine(3.0), tmp_path / "broken")
    (broken / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(FailedPrecondition, match="cannot load this SavedModel"):
        load(broken, threads=1)
    assert answer(second) == [16.0]
    assert answer(loaded(Affine(4.0))) == [18.0]


def test_files_that_a_graph_reads_are_compared(tmp_path):
    words = tmp_path / "words.txt"
    kinds = []
    for text in ("cat\ndog\n", "cat\ndog\n", "cat\ncow\n"):
        words.write_text(text)
        kinds.append(kind(Worded(words), tmp_path / str(len(kinds))))
    assert kinds[0] == kinds[1] != kinds[2]
    assert kinds[0] is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [(Shift(1.0), Shift(2.0)), (Affine(), Labelled()), (Affine(), Shift(1.0))],
    ids=["a number in the graph", "another signature", "other inputs"],
)
def test_other_graphs_are_of_another_kind(tmp_path, one, other):
    assert kind(one, tmp_path / "one") != kind(other, tmp_path / "other")


def test_one_graph_saved_twice_is_of_one_kind(tmp_path):
    assert kind(Shift(1.0), tmp_path / "one") == kind(Shift(1.0), tmp_path / "other") is not None


def test_sessions_that_keep_what_they_are_told_are_not_kept(tmp_path):
    assert kind(Counting(), tmp_path / "1") is None


def test_a_loop_of_tensorflow_1_has_no_fingerprint():
    meta_graph = meta_graph_pb2.MetaGraphDef()
    for name, op, source in (("a", "Merge", "b"), ("b", "NextIteration", "a")):
        meta_graph.graph_def.node.add(name=name, op=op, input=[source])
    meta_graph.signature_def["serving_default"].outputs["y"].name = "a:0"
    with pytest.raises(Cyclic):
        fingerprint(meta_graph)


def test_a_spare_is_kept_only_while_its_kind_is_in_use():
    spares = Spares()
    assert [spares.enter("a"), spares.enter("a"), spares.enter("a")] == [None] * 3
    assert spares.wants("a")
    assert spares.leave("a", "one") == []
    assert not spares.wants("a")
    assert spares.leave("a", "two") == ["two"]
    assert spares.enter("b") is None
    assert spares.enter("a") == "one"
    assert spares.leave("a", "one") == []
    assert spares.leave("a", "three") == ["three", "one"]
    assert spares.leave("b", None) == []
