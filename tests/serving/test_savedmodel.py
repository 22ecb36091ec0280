"""Loading, compiling and splitting, on real SavedModels."""

import os

import numpy as np
import pytest
import tensorflow as tf

from serving.errors import FailedPrecondition, InvalidInput
from serving.savedmodel import load, read_warmup
from serving.savedmodel.program import _close

from .savedmodels import Affine, Labelled, Normalised, Parsing, Picky, Scalar, example, save


@pytest.fixture
def program(tmp_path):
    opened = []

    def build(module):
        model = load(save(module, tmp_path / "1"), threads=1)
        opened.append(model)
        return model.programs["serving_default"]

    yield build
    for model in opened:
        model.close()


def strokes(rows=2, length=5):
    return {"strokes": np.random.default_rng(0).normal(size=(rows, length, 2)).astype("f")}


def test_signatures_are_told_in_numpys_terms(program):
    signature = program(Labelled()).signature
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.inputs.items()} == {
        "strokes": ("float32", (None, None, 2))
    }
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.outputs.items()} == {
        "scores": ("float32", (None, 3)),
        "label": ("string", (None,)),
    }
    assert signature.method_name == "tensorflow/serving/predict"


def test_a_string_look_up_does_not_cost_the_graph_its_compilation(program):
    run = program(Labelled())
    inputs = strokes()
    plain = run(inputs)
    assert not run.is_ready(inputs)
    assert run.compile(inputs, only_if_faster=False)
    assert run.is_ready(inputs)
    compiled = run(inputs)
    np.testing.assert_allclose(compiled["scores"], plain["scores"], rtol=1e-5)
    assert compiled["label"].tolist() == plain["label"].tolist()
    assert set(compiled["label"]) <= {b"low", b"mid", b"high"}


def test_a_shape_that_gains_nothing_stays_as_it_is(program):
    run = program(Scalar())
    inputs = {"x": np.float32(1.0).reshape(())}
    run.compile(inputs)
    assert run.is_ready(inputs)
    assert run(inputs)["y"] == 2.0


def test_a_shape_that_was_found_to_gain_is_not_timed_again(program, monkeypatch):
    timed = []
    monkeypatch.setattr("serving.savedmodel.program._is_no_slower", lambda *_: timed.append(True) or len(timed) > 1)
    found = set()
    assert not program(Scalar()).compile({"x": np.float32(1)}, faster=found)
    assert not found  # what gains nothing on a busy machine may gain another time
    assert program(Scalar()).compile({"x": np.float32(1)}, faster=found)
    assert len(found) == 1
    assert program(Scalar()).compile({"x": np.float32(1)}, faster=found)
    assert len(timed) == 2


def test_what_one_shape_gains_says_nothing_of_another(program, monkeypatch):
    timed = []
    monkeypatch.setattr("serving.savedmodel.program._is_no_slower", lambda *_: not timed.append(True))
    found = set()
    run = program(Labelled())
    assert run.compile(strokes(2), faster=found)
    assert run.compile(strokes(3), faster=found)
    assert len(found) == len(timed) == 2


def test_only_prepared_shapes_run_compiled_and_all_are_answered(program):
    run = program(Labelled())
    run.compile(strokes(2, 5))
    other = strokes(3, 4)
    assert not run.is_ready(other)
    assert run(other)["scores"].shape == (3, 3)


def test_strings_that_come_first_are_split_off_too(program):
    run = program(Parsing())
    inputs = {"examples": np.array([example(0.0, 1.0, 2.0), example(1.0, 1.0, 1.0)], object)}
    plain = run(inputs)
    assert run.compile(inputs, only_if_faster=False)
    compiled = run(inputs)
    np.testing.assert_allclose(compiled["y"], plain["y"], rtol=1e-6)
    np.testing.assert_allclose(compiled["y"], [1 + np.e + np.e**2, 3 * np.e], rtol=1e-6)
    assert compiled["text"].tolist() == plain["text"].tolist()


@pytest.mark.parametrize(("module", "value"), [(Scalar(), 2.0), (Normalised(), [1.0, 3.0]), (Affine(), [[1, 2, 3]])])
def test_any_signature_compiles_to_the_same_answers(program, module, value):
    run = program(module)
    inputs = {"x": np.array(value, "f")}
    plain = run(inputs)
    assert run.compile(inputs, only_if_faster=False)
    np.testing.assert_allclose(run(inputs)["y"], plain["y"], rtol=1e-6)


def test_an_op_that_xla_lacks_is_left_to_the_host_and_the_rest_compiled(program):
    class Spectrum(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def serve(self, x):
            loud = tf.exp(x) * 2.0
            seen = tf.raw_ops.AudioSpectrogram(input=loud, window_size=4, stride=2, magnitude_squared=True)
            return {"y": tf.math.log1p(tf.nn.relu(seen) + 1.0)}

    run = program(Spectrum())
    inputs = {"x": np.linspace(0, 1, 8, dtype="f")[:, None]}
    plain = run(inputs)
    assert run.compile(inputs, only_if_faster=False)
    np.testing.assert_allclose(run(inputs)["y"], plain["y"], rtol=1e-5)


def test_a_graph_that_cannot_be_compiled_is_served_as_it_is(program):
    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x):
            return {"y": x + self.calls.assign_add(1.0)}

    run = program(Counter())
    inputs = {"x": np.zeros(1, "f")}
    assert not run.compile(inputs)
    run.prepare(inputs)  # must not count
    assert run.is_ready(inputs)
    assert [float(run(inputs)["y"][0]) for _ in range(2)] == [1.0, 2.0]


def test_state_that_nothing_but_a_control_edge_reaches_is_kept(program):
    class Journal(tf.Module):
        def __init__(self):
            super().__init__()
            self.seen = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, default_value=-1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
        def serve(self, x):
            before = self.seen.lookup(x)
            with tf.control_dependencies([before]), tf.control_dependencies([self.seen.insert(x, x)]):
                return {"y": before * 2}

    run = program(Journal())
    assert not run.compile({"x": np.array([3])}, only_if_faster=False)
    assert [int(run({"x": np.array([7])})["y"][0]) for _ in range(2)] == [-2, 14]


def test_single_strings_are_compared_as_well():
    assert _close(b"low", b"low")
    assert not _close(b"low", b"high")


def test_integers_must_agree_too():
    assert _close(np.array([1, 2]), np.array([1, 2]))
    assert not _close(np.array([1, 2]), np.array([1, 3]))
    assert not _close(np.array([True]), np.array([False]))


def test_a_models_own_refusal_is_the_callers_error_without_a_stack(program):
    run = program(Picky())
    with pytest.raises(InvalidInput, match="x must not be negative") as caught:
        run({"x": np.array([[-1.0]], "f")})
    assert "\n" not in caught.value.message
    assert "node" not in caught.value.message


def test_an_inner_compilation_order_is_taken_over(program):
    class Inner(tf.Module):
        @tf.function(jit_compile=True)
        def core(self, x):
            return tf.nn.softmax(x)

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def serve(self, x):
            return {"y": self.core(x)}

    run = program(Inner())
    inputs = {"x": np.array([[1.0, 2.0, 3.0]], "f")}
    plain = run(inputs)["y"]
    assert not run.is_ready(inputs)
    assert run.compile(inputs, only_if_faster=False)
    np.testing.assert_allclose(run(inputs)["y"], plain, rtol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"rubbish"])
def test_a_directory_without_a_model_says_so_and_names_no_path(tmp_path, content):
    path = tmp_path / "1"
    path.mkdir()
    if content is not None:
        (path / "saved_model.pb").write_bytes(content)
    with pytest.raises(FailedPrecondition, match="cannot load this SavedModel") as caught:
        load(path)
    assert str(tmp_path) not in caught.value.message


def test_missing_variables_are_a_failed_load(tmp_path):
    path = save(Affine(), tmp_path / "1")
    for file in (path / "variables").iterdir():
        file.unlink()
    with pytest.raises(FailedPrecondition):
        load(path)


def test_warm_up_records_are_read(tmp_path):
    inputs = {"x": np.array([[1.0, 2.0, 3.0]], "f")}
    path = save(Affine(), tmp_path / "1", warmup=[inputs, inputs])
    records = read_warmup(path)
    assert [record.signature for record in records] == ["serving_default"] * 2
    np.testing.assert_array_equal(records[0].inputs["x"], inputs["x"])
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.write_bytes(file.read_bytes()[:-6])
    with pytest.raises(FailedPrecondition, match="ends within a record"):
        read_warmup(path)


def test_closing_gives_the_memory_back(tmp_path):
    path = save(Labelled(), tmp_path / "1")
    inputs = strokes(1, 4)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def rounds(count):
        for _ in range(count):
            model = load(path, threads=1)
            model.programs["serving_default"].compile(inputs)
            model.close()
            del model

    rounds(5)
    before = resident()
    rounds(20)
    # An eager load keeps 3 MiB a round.
    assert resident() - before < 20 * 2**20
