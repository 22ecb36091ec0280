from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.recurrent import CELLS, recurrent

RNG = np.random.default_rng(5)
VALUES = RNG.normal(size=(3, 9, 4)).astype("float32")
MASK = np.arange(9) < np.array([[9], [4], [7]])


def pair(cell: str, bptt: int, *, bidirectional: bool = False, **options: Any) -> list[keras.layers.Layer]:
    """The plain layer and the truncated one, of the same weights."""
    made = []
    for steps in (0, bptt):
        layer = recurrent(cell, 5, bptt=steps, return_sequences=True, **options)
        layer = keras.layers.Bidirectional(layer) if bidirectional else layer
        layer.build(VALUES.shape)
        made.append(layer)
    made[1].set_weights(made[0].get_weights())
    return made


def gradients(layer: keras.layers.Layer, values: np.ndarray, mask: np.ndarray | None = None) -> list[np.ndarray]:
    """Of the sum of squares of the last outputs, by the inputs and by the weights."""
    given = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_sum(layer(given, mask=mask)[:, -1] ** 2)
    return [g.numpy() for g in tape.gradient(loss, [given, *(v.value for v in layer.trainable_variables)])]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
def test_answers_are_the_plain_layers(cell: str, bidirectional: bool, mask: np.ndarray | None) -> None:
    plain, truncated = pair(cell, 2, bidirectional=bidirectional)
    expected, received = (layer(VALUES, mask=mask) for layer in (plain, truncated))
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-7)
    assert [v.shape for v in truncated.variables] == [v.shape for v in plain.variables]


@pytest.mark.parametrize("cell", CELLS)
def test_with_steps_enough_gradients_are_the_plain_layers(cell: str) -> None:
    plain, truncated = pair(cell, 9, bidirectional=True)
    for expected, received in zip(gradients(plain, VALUES, MASK), gradients(truncated, VALUES, MASK), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_stop_between_chunks(cell: str) -> None:
    plain, truncated = pair(cell, 4)
    by_inputs = np.abs(gradients(truncated, VALUES)[0]).sum(axis=(0, 2))
    assert (np.abs(gradients(plain, VALUES)[0]).sum(axis=(0, 2)) > 0).all()
    assert (by_inputs > 0).tolist() == [False] * 8 + [True]  # chunks of 4, 4 and 1 steps
    by_inputs = np.abs(gradients(truncated, VALUES[:, :8])[0]).sum(axis=(0, 2))
    assert (by_inputs > 0).tolist() == [False] * 4 + [True] * 4


def test_the_last_chunk_has_the_gradients_of_a_sequence_of_its_own() -> None:
    plain, truncated = pair("gru", 4)
    state = plain(VALUES[:, :4])[:, -1]
    last = tf.constant(VALUES[:, 4:8])
    with tf.GradientTape() as tape:
        tape.watch(last)
        loss = tf.reduce_sum(plain(last, initial_state=state)[:, -1] ** 2)
    np.testing.assert_allclose(gradients(truncated, VALUES[:, :8])[0][:, 4:], tape.gradient(loss, last), rtol=1e-4)


def test_an_initial_state_is_learnt_from_and_the_final_ones_are_the_plain_layers() -> None:
    plain, truncated = pair("lstm", 3, return_state=True)
    state = [tf.constant(RNG.normal(size=(3, 5)).astype("float32")) for _ in range(2)]
    for expected, received in zip(
        plain(VALUES, initial_state=state), truncated(VALUES, initial_state=state), strict=True
    ):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(state)
        loss = tf.reduce_sum(truncated(VALUES[:, :3], initial_state=state)[0])
    assert all(np.abs(found).max() > 0 for found in tape.gradient(loss, state))


def test_a_model_of_any_length_learns_with_dropout_inside() -> None:
    inputs = keras.Input((None, 4))
    hidden = recurrent("lstm", 5, bptt=3, dropout=0.1, recurrent_dropout=0.1, use_cudnn=False)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.03), loss="mse")
    first = model.train_on_batch(VALUES, np.ones((3, 1)))
    for _ in range(30):
        last = model.train_on_batch(VALUES, np.ones((3, 1)))
    assert last < first / 2
    assert model(VALUES[:, :2]).shape == (3, 1)


def test_an_unknown_cell_or_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lstm, gru. Received: 'rnn'"):
        recurrent("rnn", 4)
    with pytest.raises(ValueError, match="at least one step"):
        recurrent("lstm", 4, bptt=-1)
