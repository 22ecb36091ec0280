"""Loading versions with what lies beside their graphs: warm-up requests, other tags, odd signatures."""

import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.errors import FailedPrecondition, InvalidInput
from serving.servables.compiler import Compiler
from serving.servables.servable import LoadOptions, load_servable

from ...conformance.zoo_tf1 import CLASSIFY, REGRESS, example, save_half_plus_two, save_legacy, save_sparse
from ..savedmodels import Affine, Parsing, Picky, save
from ..savedmodels import example as parsed_example

OPTIONS = LoadOptions(threads=1, compile=False)


def write_records(path, *logs):
    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def predict_log(signature="", **inputs):
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, array in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return log


def example_log(kind, signature):
    log = PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.signature_name = signature
    request.input.example_list.examples.add().ParseFromString(example(x=2.0).SerializeToString())
    return log


def multi_inference_log(**methods):
    log = PredictionLog()
    request = log.multi_inference_log.request
    request.input.example_list.examples.add().ParseFromString(example(x=2.0).SerializeToString())
    for signature, method in methods.items():
        task = request.tasks.add(method_name=method)
        task.model_spec.signature_name = signature
    return log


@pytest.fixture
def loaded(tmp_path):
    opened = []

    def build(path=None, **options):
        opened.append(load_servable("m", 1, path or tmp_path / "1", LoadOptions(threads=1, compile=False, **options)))
        return opened[-1]

    yield build
    for servable in opened:
        servable._release()


@pytest.fixture
def runs(monkeypatch):
    """What programs are called with, by signature."""
    from serving.savedmodel import Program

    seen = []
    run = Program.__call__

    def call(self, inputs):
        seen.append((self.signature.name, *(array.shape for array in inputs.values())))
        return run(self, inputs)

    monkeypatch.setattr(Program, "__call__", call)
    return seen


def test_every_kind_of_warm_up_record_is_replayed(tmp_path, loaded, runs):
    save_half_plus_two(tmp_path / "1")
    write_records(
        tmp_path / "1",
        predict_log(x=np.array([[1.0]], "f")),
        example_log("classify_log", "classify_words"),
        example_log("regress_log", "regress_x_to_y"),
        multi_inference_log(regress_x_to_y2=REGRESS, classify_x_to_y=CLASSIFY),
    )
    loaded()
    assert sorted(runs) == [
        ("classify_words", (1,)),
        ("classify_x_to_y", (1,)),
        ("regress_x_to_y", (1,)),
        ("regress_x_to_y2", (1,)),
        ("serving_default", (1, 1)),
    ]


def test_records_are_replayed_in_every_batch_size_as_often_as_asked(tmp_path, loaded, runs):
    save(Affine(), tmp_path / "1", sizes=(1, 4), warmup=[{"x": np.ones((2, 3), "f")}])
    loaded(iterations=2)
    assert runs == [("serving_default", (rows, 3)) for rows in (2, 1, 4)] * 2


def test_warm_up_can_be_left_out(tmp_path, loaded, runs):
    save(Affine(), tmp_path / "1", warmup=[{"x": np.ones((2, 3), "f")}])
    loaded(warm_up=False)
    assert runs == []


@pytest.mark.parametrize(
    ("logs", "problem"),
    [
        ([predict_log("other", x=np.zeros((1, 1), "f"))], "signature 'other': it has no such signature"),
        ([predict_log(y=np.zeros((1, 1), "f"))], "input tensor alias not found in signature: y"),
        ([example_log("classify_log", "serving_default")], "to have the method tensorflow/serving/classify"),
        ([PredictionLog(session_run_log={"request": {}})], "Unsupported log_type for warmup"),
        ([predict_log(x=np.zeros((1, 1), "f"))] * 1001, r"Number of warmup records exceeds the maximum \(1000\)"),
        ([predict_log(x=np.array([[-1.0]], "f"))], "x must not be negative"),
    ],
)
def test_records_that_cannot_be_replayed_fail_the_load(tmp_path, logs, problem):
    save(Picky(), tmp_path / "1")
    write_records(tmp_path / "1", *logs)
    with pytest.raises((FailedPrecondition, InvalidInput), match=problem):
        load_servable("m", 1, tmp_path / "1", OPTIONS)


def test_a_thousand_records_are_not_too_many(tmp_path, loaded):
    save(Picky(), tmp_path / "1")
    write_records(tmp_path / "1", *[predict_log(x=np.zeros((1, 1), "f"))] * 1000)
    loaded()


def test_another_graph_of_the_same_model_is_found_by_its_tags(tmp_path, loaded):
    save_legacy(tmp_path / "1")
    assert loaded(tags=("train",)).signatures.keys() == {"train"}
    assert loaded().signatures.keys() == {"serving_default"}
    with pytest.raises(FailedPrecondition, match="gpu"):
        load_servable("m", 1, tmp_path / "1", LoadOptions(tags=("serve", "gpu")))


def test_every_definition_is_kept_and_what_cannot_be_served_says_why(tmp_path, loaded):
    save_sparse(tmp_path / "1")
    servable = loaded()
    assert servable.signatures.keys() == {"serving_default"}
    assert servable.definitions.keys() == {"serving_default", "sparse"}
    assert "input 'x' is a sparse tensor" in servable.refusals["sparse"]
    save(Affine(), tmp_path / "2")
    servable = loaded(tmp_path / "2")
    assert servable.refusals.keys() == {"__saved_model_init_op"} == servable.definitions.keys() - {"serving_default"}


async def test_a_fed_tensor_is_answered_and_a_left_out_one_has_its_default(tmp_path, loaded):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        bias = v1.placeholder(tf.float32, [], name="bias")
        info = v1.saved_model.build_tensor_info
        outputs = {"x": info(x), "y": info(x + bias)}
        signature = v1.saved_model.build_signature_def({"x": info(x), "bias": info(bias)}, outputs, "predict")
        signature.defaults["bias"].CopyFrom(tf.make_tensor_proto(5.0))
        builder = v1.saved_model.Builder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    answer = await loaded().infer("serving_default", {"x": np.array([1.0, 2.0], "f")}, time.monotonic() + 10)
    assert {name: array.tolist() for name, array in answer.items()} == {"x": [1.0, 2.0], "y": [6.0, 7.0]}


async def test_numpys_own_strings_are_taken(tmp_path, loaded):
    save(Parsing(), tmp_path / "1")
    rows = np.array([parsed_example(1.0, 2.0, 3.0)], "S")
    answer = await loaded().infer("serving_default", {"examples": rows}, time.monotonic() + 10)
    assert answer["text"].shape == (1, 3)


async def test_what_a_graph_would_compute_may_be_fed_in_any_shape(tmp_path, loaded):
    save_half_plus_two(tmp_path / "1")
    alone, batched = loaded(), loaded(enable_batching=True)
    for x in (np.float32([1, 2, 5]), np.float32([[1, 2], [3, 4]]), np.float32([[1]])):
        for servable in (alone, batched):
            answer = await servable.infer("serving_default", {"x": x}, time.monotonic() + 30)
            assert answer["y"].tolist() == (x / 2 + 2).tolist()
            with pytest.raises(InvalidInput, match="float64"):
                await servable.infer("serving_default", {"x": x.astype(float)}, time.monotonic() + 30)
    number = {"x": np.float32(2)}
    assert (await alone.infer("serving_default", number, time.monotonic() + 30))["y"] == 3.0
    with pytest.raises(InvalidInput, match="at least one dimension"):
        await batched.infer("serving_default", number, time.monotonic() + 30)
    with pytest.raises(InvalidInput, match="must be string"):
        await alone.infer("regress_x_to_y", {"inputs": np.array([[b""]], object)}, time.monotonic() + 30)


def test_the_log_says_which_model_is_served_uncompiled(tmp_path, loaded, caplog):
    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x):
            return {"y": x + self.calls.assign_add(1.0)}

    save(Counter(), tmp_path / "1")
    with caplog.at_level("INFO", "serving"):
        assert not loaded()._functions["serving_default"].program.compile({"x": np.zeros(1, "f")})
    assert "version 1 of m, signature serving_default is served uncompiled: the graph has a" in caplog.text


async def test_compiled_code_that_is_right_for_zeros_only_is_not_used(tmp_path, caplog):
    class Tripled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def serve(self, x):
            return {"y": 3.0 * x}

    servable = load_servable("m", 1, save(Tripled(), tmp_path / "1"), LoadOptions(threads=1))
    program = servable._functions["serving_default"].program
    program._build = lambda: lambda x: [np.zeros_like(x)]
    compiler = Compiler()
    try:
        await servable.compiled(compiler)
        assert "served uncompiled: its answers would differ" in caplog.text
        answer = await servable.infer("serving_default", {"x": np.ones((1, 4), "f")}, time.monotonic() + 30)
        assert answer["y"].tolist() == [[3.0] * 4]
    finally:
        compiler.close()
        servable._release()


def test_shapes_that_a_graph_would_not_compute_are_not_compiled(tmp_path, loaded):
    save_half_plus_two(tmp_path / "1")
    program = loaded()._functions["serving_default"].program
    assert program.is_ready({"x": np.float32([1, 2, 5])})
    assert not program.is_ready({"x": np.float32([[1]])})


async def test_a_version_has_run_before_it_replaces_another_even_uncompiled(tmp_path, loaded):
    servable = loaded(save(Affine(), tmp_path / "1"))
    compiler = Compiler()
    try:
        assert not any(function.program._has_run for function in servable._functions.values())
        await servable.compiled(compiler)
        assert all(function.program._has_run for function in servable._functions.values())
    finally:
        compiler.close()
