"""A version of a graph that was loaded before goes into the session of one that left."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.saved_model import loader_impl

from serving.errors import FailedPrecondition, InvalidInput
from serving.savedmodel import load, loading
from serving.savedmodel.fingerprint import Cyclic, fingerprint
from serving.savedmodel.spares import Spares, kind_of

from .savedmodels import Affine, Labelled, save

ONE = {"x": np.ones(1, np.float32)}
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


class Guessing(tf.Module):
    """Adds the difference of two random numbers, or of one and itself."""

    def __init__(self, *, same: bool) -> None:
        super().__init__()
        self.same = same

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        one, other = tf.random.uniform([]), tf.random.uniform([])
        return {"y": x + (one - (one if self.same else other))}


class Picking(tf.Module):
    """Exponentiates one of the numbers: beyond their end the graph fails, and what XLA compiles does not."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = tf.Variable(place)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.exp(tf.gather(x, self.place))}


def save_tf1(path, build):
    """What TensorFlow 1's builder writes of build() → (inputs, outputs, main_op)."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs, outputs, main_op = build()
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        signature = v1.saved_model.signature_def_utils.predict_signature_def(inputs, outputs)
        builder = v1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=main_op)
        builder.save()
    return path


def product(weight, *, counting=False):
    """The product of x and a weight, plus a variable that the checkpoint lacks, set where it is not there."""

    def build():
        v1 = tf.compat.v1
        x = v1.placeholder(tf.float32, [None], "x")
        w = v1.get_variable("w", initializer=weight, use_resource=True)
        if not counting:
            return {"x": x}, {"y": x * w}, None
        n = v1.get_variable("n", initializer=0.0, use_resource=True, collections=["local_variables"], trainable=False)
        main_op = tf.cond(
            v1.is_variable_initialized(n), lambda: tf.constant(0.0), lambda: tf.identity(n.assign(w.read_value()))
        )
        return {"x": x}, {"y": x * w + n}, tf.group(main_op)

    return build


@pytest.fixture(autouse=True)
def spares(monkeypatch):
    """What these tests leave behind, apart from what is open in this process besides."""
    own = Spares()
    monkeypatch.setattr(loading, "_spares", own)
    return own


@pytest.fixture
def loaded(tmp_path, spares):
    """Saves and loads modules as versions one after another, and closes what is open at the end."""
    models = []

    def build(module):
        path = tmp_path / str(len(models) + 1)
        save_tf1(path, module) if callable(module) else save(module, path)
        models.append(load(path, threads=1, model=f"version {len(models) + 1}"))
        return models[-1]

    build.close = lambda model: (models.remove(model), models.append(None), model.close())
    yield build
    for model in filter(None, models):
        model.close()
    assert not spares._spares
    assert not spares._users


def kind(module, path):
    return kind_of(meta_graph(save(module, path)), path, ())


def meta_graph(path):
    return loader_impl.SavedModelLoader(str(path)).get_meta_graph_def_from_tags(["serve"])


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
    assert not program.is_ready(ROW)  # it was not checked with these weights
    assert program.compile(ROW)
    assert program.is_ready(ROW)
    assert program.called == "version 3, signature serving_default"
    assert answer(third) == [17.0]
    assert answer(second) == [16.0]
    assert answer(third, {"x": np.zeros((5, 3), np.float32)}) == [3.0] * 5  # not compiled


def test_only_the_code_is_kept(loaded, spares):
    first, second = loaded(Affine(1.0)), loaded(Affine(2.0))
    loaded.close(first)
    (host,) = spares._spares.values()
    with pytest.raises(tf.errors.FailedPreconditionError):
        host._session.run("StatefulPartitionedCall:0", {"serving_default_x:0": ROW["x"]})
    loaded.close(second)
    assert not spares._spares


def test_weights_find_their_variables_wherever_the_checkpoint_has_them(loaded):
    first, second = loaded(Pair(5.0, 2.0)), loaded(Pair(7.0, 3.0))
    program = first.programs["serving_default"]
    loaded.close(first)
    third = loaded(Pair(11.0, 4.0, swapped=True))
    assert third.programs["serving_default"] is program
    assert (answer(second, ONE), answer(third, ONE)) == ([4.0], [7.0])


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
    kinds = {kind(one, tmp_path / "one"), kind(other, tmp_path / "other")}
    assert len(kinds) == 2
    assert None not in kinds


def test_an_input_is_not_taken_for_an_output(tmp_path):
    def build(*, passed):
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        k = tf.compat.v1.placeholder_with_default(tf.constant([2.0]), [None], "k")
        tf.compat.v1.get_variable("w", initializer=1.0, use_resource=True)
        return ({"a": x}, {"b": k, "z": x * k}, None) if passed else ({"a": x, "b": k}, {"z": x * k}, None)

    kinds = set()
    for passed in (False, True):
        path = save_tf1(tmp_path / str(passed), lambda passed=passed: build(passed=passed))
        kinds.add(kind_of(meta_graph(path), path, ()))
    assert len(kinds) == 2
    assert None not in kinds


def test_a_weight_of_tensorflow_1_is_taken_over(loaded):
    first, second = loaded(product(1.0)), loaded(product(2.0))
    program = first.programs["serving_default"]
    loaded.close(first)
    third = loaded(product(3.0))
    assert third.programs["serving_default"] is program
    assert (answer(second, ONE), answer(third, ONE)) == ([2.0], [3.0])


def test_what_the_checkpoint_lacks_is_initialised_anew(loaded):
    first = loaded(product(1.0, counting=True))
    assert answer(first, ONE) == [2.0]
    loaded(product(2.0, counting=True))
    loaded.close(first)
    assert answer(loaded(product(3.0, counting=True)), ONE) == [6.0]


def test_a_graph_that_does_not_say_how_it_is_restored_is_loaded_anew(tmp_path):
    models = []
    for weight in (1.0, 2.0, 3.0):
        path = save_tf1(tmp_path / str(weight), product(weight))
        stored = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        stored.meta_graphs[0].ClearField("saver_def")
        (path / "saved_model.pb").write_bytes(stored.SerializeToString())
        models.append(load(path, threads=1))
        assert answer(models[-1], ONE) == [weight]
        if len(models) == 2:
            models[0].close()
    for model in models[1:]:
        model.close()


def test_compiled_code_is_checked_with_the_new_weights_and_bad_ones_spoil_nothing(loaded):
    numbers = {"x": np.arange(4, dtype=np.float32)}
    first, second = loaded(Picking(0)), loaded(Picking(1))
    program = first.programs["serving_default"]
    assert program.compile(numbers, only_if_faster=False)
    loaded.close(first)
    third = loaded(Picking(10))
    assert third.programs["serving_default"] is program
    assert not program.compile(numbers)
    with pytest.raises(InvalidInput, match="refused its input"):
        program(numbers)
    loaded.close(third)
    fourth = loaded(Picking(2))
    assert fourth.programs["serving_default"] is program
    assert program.compile(numbers, only_if_faster=False)
    assert program.is_ready(numbers)
    np.testing.assert_allclose(answer(fourth, numbers), np.exp(2.0), rtol=1e-5)
    np.testing.assert_allclose(answer(second, numbers), np.exp(1.0), rtol=1e-5)


def test_closing_twice_does_not_close_what_others_have_taken_over(loaded):
    first, _ = loaded(Affine(1.0)), loaded(Affine(2.0))
    loaded.close(first)
    third = loaded(Affine(3.0))
    first.close()
    assert answer(third) == [17.0]


def test_one_graph_saved_twice_is_of_one_kind(tmp_path):
    assert kind(Shift(1.0), tmp_path / "one") == kind(Shift(1.0), tmp_path / "other") is not None


@pytest.mark.parametrize("module", [Counting(), Guessing(same=True)], ids=["a table", "a random number"])
def test_sessions_that_keep_what_happened_in_them_are_not_kept(tmp_path, module):
    assert kind(module, tmp_path / "1") is None


def test_a_loop_of_tensorflow_1_has_no_fingerprint():
    looping = meta_graph_pb2.MetaGraphDef()
    for name, op, source in (("a", "Merge", "b"), ("b", "NextIteration", "a")):
        looping.graph_def.node.add(name=name, op=op, input=[source])
    looping.signature_def["serving_default"].outputs["y"].name = "a:0"
    with pytest.raises(Cyclic):
        fingerprint(looping)


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
