from collections.abc import Callable

import keras
import numpy as np
import pytest

from training.sketchrnn import generate, model

CLASSES = 7


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(3)
    return model.build(CLASSES)


@pytest.fixture(scope="module")
def strokes() -> np.ndarray:
    """Generated drawings of many lengths, and the awkward ones: see the comments."""
    drawings = generate.sketches(train=2, valid=1, test=1).splits["train"]
    batch = np.concatenate([drawings.padded(np.arange(22)), np.zeros((6, drawings.lengths.max(), 3), "f4")])
    batch[3, 2] = 0.0  # a zero row inside a drawing
    batch[22, 0] = [3, 4, 1]  # one row
    batch[23, 0] = [0, 0, 1]  # a dot
    batch[24, :5, 2] = 1  # five dots on one spot
    batch[25, 3] = [0, 0, 1]  # zero rows first
    batch[26] = batch[0] * [1e34, 1e34, 1]
    batch[27] = 0.0  # nothing but padding
    return batch


def answers(classifier: keras.Model, strokes: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.softmax(classifier(strokes, training=False)))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 64])
def test_zero_rows_at_the_right_change_nothing(classifier: keras.Model, strokes: np.ndarray, rows: int) -> None:
    padded = np.pad(strokes, [(0, 0), (0, rows), (0, 0)])
    np.testing.assert_allclose(answers(classifier, padded), answers(classifier, strokes), atol=1e-6)


def test_each_drawing_alone_and_unpadded_gets_the_same_answer(classifier: keras.Model, strokes: np.ndarray) -> None:
    together = answers(classifier, strokes)
    assert np.isfinite(together).all()
    for drawing, expected in zip(strokes, together, strict=True):
        length = max(1, *(np.flatnonzero(drawing.any(axis=1)) + 1), 1)
        np.testing.assert_allclose(answers(classifier, drawing[None, :length])[0], expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 0.01, 255.0, 1e30])
def test_scale_does_not_matter(classifier: keras.Model, strokes: np.ndarray, scale: float) -> None:
    scaled = strokes[:22] * np.array([scale, scale, 1], "float32")
    np.testing.assert_allclose(answers(classifier, scaled), answers(classifier, strokes[:22]), atol=1e-4)


def test_a_zero_row_inside_a_drawing_is_a_point(strokes: np.ndarray) -> None:
    _, mask = model.Features()(strokes)
    mask = keras.ops.convert_to_numpy(mask)
    drawing = strokes[3]
    length = np.flatnonzero(drawing.any(axis=1))[-1] + 1
    assert not drawing[2].any()
    assert mask[3].tolist() == [True] * (length + 1) + [False] * (len(drawing) - length)
    assert mask[27].sum() == 1


def test_the_origin_may_be_written_as_a_row_of_zeros(classifier: keras.Model, strokes: np.ndarray) -> None:
    begun = np.pad(strokes, [(0, 0), (1, 0), (0, 0)])
    assert strokes[:25, 0].any(axis=1).all()
    np.testing.assert_allclose(answers(classifier, begun[:25]), answers(classifier, strokes[:25]), atol=1e-6)


def test_features_are_positions_in_the_bounding_box_offsets_and_the_pen() -> None:
    strokes = np.array([[[4, 0, 0], [0, 2, 1], [-4, 0, 1], [0, 0, 0]]], "float32")
    features, mask = model.Features()(strokes)
    expected = [
        [-1, -0.5, 0, 0, 0, 0],
        [1, -0.5, 2, 0, 1, 0],
        [1, 0.5, 0, 1, 1, 1],
        [-1, 0.5, -2, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(features)[0], expected, atol=1e-6)
    assert keras.ops.convert_to_numpy(mask).tolist() == [[True] * 4 + [False]]


def test_gradients_of_awkward_drawings_are_finite(strokes: np.ndarray) -> None:
    learner = model.build(CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile("sgd", loss, jit_compile=False)
    assert np.isfinite(learner.train_on_batch(strokes, np.arange(len(strokes)) % CLASSES))
    assert all(np.isfinite(weight).all() for weight in learner.get_weights())


def test_the_order_and_the_pen_matter(classifier: keras.Model, strokes: np.ndarray) -> None:
    def changes(change: Callable[[np.ndarray], np.ndarray]) -> bool:
        return bool(np.abs(answers(classifier, change(strokes[:1])) - answers(classifier, strokes[:1])).max() > 1e-4)

    assert changes(lambda drawing: drawing[:, ::-1])
    assert changes(lambda drawing: drawing * [1, 1, 0])
