"""Graphs whose calls are replaced by what they call compute the same, whatever is called how often and from where."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import function

from serving.savedmodel.inlining import Inlined
from serving.savedmodel.partition import Unsplittable, add_twin


def test_calls_in_calls_are_replaced_and_what_nobody_needs_is_left_out():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")

        @tf.function
        def inner(a, b):
            return a * 2.0, b + 1.0

        @tf.function
        def outer(a):
            doubled, more = inner(a, a)
            _, again = inner(more, doubled)
            return again, more

        again, more = outer(x)
        unneeded = tf.identity(more, name="unneeded")
    inlined = Inlined(graph, graph.as_graph_def(), [again.name])
    assert not inlined.definition.library.function
    ops = [node.op for node in inlined.definition.node]
    assert "StatefulPartitionedCall" not in ops
    assert "PartitionedCall" not in ops
    assert unneeded.op.name not in [node.name for node in inlined.definition.node]
    assert ops.count("Mul") == 1  # `more` and the first result of the second call are not needed
    assert run(inlined, again.name, 3.0) == 7.0


def test_the_same_function_called_twice_has_two_bodies():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        square = tf.function(lambda a: a * a)
        total = square(x) + square(x + 1.0)
    inlined = Inlined(graph, graph.as_graph_def(), [total.name])
    assert [node.op for node in inlined.definition.node].count("Mul") == 2
    assert run(inlined, total.name, 2.0) == 13.0


def test_names_that_are_taken_are_not_given_again():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        called = tf.function(lambda a: a * 3.0)(x)
        with tf.name_scope(f"{called.op.name}/body/"):
            taken = tf.add(called, 1.0, name="mul")
    inlined = Inlined(graph, graph.as_graph_def(), [taken.name])
    assert run(inlined, taken.name, 2.0) == 7.0


def test_loops_and_branches_stay_with_the_functions_that_they_call():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")

        @tf.function
        def raised(a):
            double = tf.function(lambda value: value * 2.0)
            _, result = tf.while_loop(lambda step, _: step < 3, lambda step, value: (step + 1, double(value)), [0, a])
            return tf.cond(tf.reduce_sum(result) > 10.0, lambda: result, lambda: -result)

        result = raised(x)
    inlined = Inlined(graph, graph.as_graph_def(), [result.name])
    ops = {node.op for node in inlined.definition.node}
    assert ops & {"While", "StatelessWhile"}
    assert ops & {"If", "StatelessIf"}
    assert len(inlined.definition.library.function) >= 5  # condition, body, what the body calls, and two branches
    assert run(inlined, result.name, 1.0) == -8.0
    assert run(inlined, result.name, 2.0) == 16.0


def test_a_constant_from_a_call_is_an_output_like_any_other():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")

        @tf.function
        def answer(a):
            return a * 2.0, tf.constant(7)

        doubled, constant = answer(x)
        twin = add_twin(graph, [x], [doubled, constant])
        with tf.compat.v1.Session() as session:
            values, seven = session.run(twin.outputs, {x: [1.0, 2.0]})
    np.testing.assert_array_equal(values, [2.0, 4.0])
    assert seven == 7


def test_equal_graphs_have_twins_of_one_key_and_others_have_not():
    def key(factor, both=False):
        graph = tf.Graph()
        with graph.as_default():
            x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
            product = tf.multiply(x, factor, name="product")
            more = tf.add(product, 1.0, name="more")
            return add_twin(graph, [x], [product, more] if both else [more]).key

    assert key(2.0) == key(2.0)
    assert key(2.0) != key(3.0)
    assert key(2.0) != key(2.0, both=True)


def test_the_second_twin_is_cut_from_the_signatures_own_graph_and_not_from_the_first():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        double = tf.function(lambda a: a * 2.0)(x)
        first, second = (add_twin(graph, [x], [double]) for _ in range(2))
        with tf.compat.v1.Session() as session:
            assert session.run([*first.outputs, *second.outputs], {x: [3.0]}) == [[6.0], [6.0]]
    assert first.key == second.key


def test_what_is_fed_in_place_of_a_computed_value_counts():
    graph = tf.Graph()
    with graph.as_default():
        constant = tf.constant([0.0, 0.0], name="x")
        doubled = tf.function(lambda a: a * 2.0)(constant)
        computed = tf.identity(doubled + 1.0, name="computed")
        result = tf.tanh(computed) + constant
        twin = add_twin(graph, [constant, computed], [result])
        with tf.compat.v1.Session() as session:
            fed = session.run(twin.outputs[0], {constant: [5.0, 6.0], computed: [0.0, 0.0]})
    np.testing.assert_array_equal(fed, [5.0, 6.0])


def test_a_function_that_returns_its_argument_gives_what_it_was_given():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")

        @function.Defun(tf.float32)
        def both(a):
            return a, a * 2.0

        same, doubled = both(x)
        assert same.op.type.startswith("both")  # a function as an op, as TensorFlow 1 has it
        twin = add_twin(graph, [x], [same, doubled])
        with tf.compat.v1.Session() as session:
            call = session.make_callable(list(twin.outputs), [x])
            np.testing.assert_array_equal(call([3.0]), [[3.0], [6.0]])


def test_state_that_a_function_finds_for_itself_is_its_own():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        variables = [variable(name, value) for name, value in (("mine", 3.0), ("other", 7.0))]

        @tf.function
        def tripled(a):
            handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="mine", name="handle")
            return a * tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

        result = tripled(x)
        with tf.name_scope(f"{result.op.name}/body/"):  # where its own will come
            tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="other", name="handle")
        twin = add_twin(graph, [x], [tf.tanh(result)])
        with tf.compat.v1.Session() as session:
            session.run([each.initializer for each in variables])
            (values,) = session.run(twin.outputs, {x: [0.1]})
    np.testing.assert_allclose(values, np.tanh([0.3]), rtol=1e-5)


def variable(name, value):
    start = tf.compat.v1.constant_initializer(value)
    return tf.compat.v1.get_variable(name, [], use_resource=True, initializer=start)


def test_an_input_is_not_taken_for_a_node_of_a_call_that_has_its_name():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        doubled = tf.function(lambda a: tf.multiply(a, 2.0, name="product"))(x)
        with tf.name_scope(f"{doubled.op.name}/body/"):
            unused = tf.compat.v1.placeholder(tf.float32, [None], name="product")
        twin = add_twin(graph, [x, unused], [tf.tanh(doubled)])
        with tf.compat.v1.Session() as session:
            (values,) = session.run(twin.outputs, {x: [1.0], unused: [0.0]})
    np.testing.assert_allclose(values, np.tanh([2.0]), rtol=1e-5)


def test_random_numbers_are_tensorflows_own():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        noise = tf.tanh(x * tf.random.stateless_normal(tf.shape(x), [1, 2]))
        twin = add_twin(graph, [x], [noise])

        @tf.function
        def walked(a):
            step = lambda number, value: (number + 1, value + tf.random.stateless_normal([], [number, 2]))  # noqa: E731
            return tf.while_loop(lambda number, _: number < 3, step, [0, a])[1]

        with pytest.raises(Unsplittable, match="StatelessRandom"):
            add_twin(graph, [x], [walked(x)])
        with tf.compat.v1.Session() as session:
            plain, compiled = session.run([noise, twin.outputs[0]], {x: [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(compiled, plain, rtol=1e-5)


def test_calls_nested_too_deeply_are_left_to_the_plain_graph(monkeypatch):
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        result = tf.function(lambda a: a * 2.0)(x)

        def too_deep(*_):
            raise RecursionError("maximum recursion depth exceeded")

        monkeypatch.setattr("serving.savedmodel.inlining.Inlined._expanded", too_deep)
        with pytest.raises(Unsplittable, match="cannot be cut: maximum recursion"):
            add_twin(graph, [x], [result])


def test_what_has_effects_is_refused_inside_of_calls_too():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        noisy = tf.function(lambda a: a + tf.random.uniform([]))(x)
        with pytest.raises(Unsplittable, match="RandomUniform"):
            add_twin(graph, [x], [noisy])


def run(inlined, tensor, value):
    """The only number of a tensor, with `value` for x."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(inlined.definition, name="")
        name = inlined.tensor(tensor)
        with tf.compat.v1.Session() as session:
            (result,) = session.run(name if ":" in name else f"{name}:0", {"x:0": [value]})
    return result
