from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.recurrent import TruncatedRNN
from training.sketchrnn import architectures, generate
from training.sketchrnn.features import Features
from training.sketchrnn.model import SketchConfig

CLASSES = 7
Classifier = Callable[[np.ndarray], tf.Tensor]


@pytest.fixture(scope="module", params=[name for name in architectures.ARCHITECTURES if name != "fusion"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """Answers strokes [batch, time, 3] with logits; one graph for all shapes, as recurrent layers are slow without."""
    keras.utils.set_random_seed(3)
    built = architectures.build(request.param, CLASSES)
    return tf.function(lambda x: built(x, training=False), input_signature=[tf.TensorSpec([None, None, 3])])


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


def answers(classifier: Classifier, strokes: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.softmax(classifier(strokes)))


@pytest.mark.parametrize("rows", [1, 2, 3, 64])
def test_zero_rows_at_the_right_change_nothing(classifier: Classifier, strokes: np.ndarray, rows: int) -> None:
    padded = np.pad(strokes, [(0, 0), (0, rows), (0, 0)])
    np.testing.assert_allclose(answers(classifier, padded), answers(classifier, strokes), atol=1e-6)


def test_each_drawing_alone_and_unpadded_gets_the_same_answer(classifier: Classifier, strokes: np.ndarray) -> None:
    together = answers(classifier, strokes)
    assert np.isfinite(together).all()
    for drawing, expected in zip(strokes, together, strict=True):
        length = max(1, *(np.flatnonzero(drawing.any(axis=1)) + 1), 1)
        np.testing.assert_allclose(answers(classifier, drawing[None, :length])[0], expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 0.01, 255.0, 1e30])
def test_scale_does_not_matter(classifier: Classifier, strokes: np.ndarray, scale: float) -> None:
    scaled = strokes[:22] * np.array([scale, scale, 1], "float32")
    np.testing.assert_allclose(answers(classifier, scaled), answers(classifier, strokes[:22]), atol=1e-4)


def test_a_zero_row_inside_a_drawing_is_a_point(strokes: np.ndarray) -> None:
    _, mask = Features()(strokes)
    mask = keras.ops.convert_to_numpy(mask)
    drawing = strokes[3]
    length = np.flatnonzero(drawing.any(axis=1))[-1] + 1
    assert not drawing[2].any()
    assert mask[3].tolist() == [True] * (length + 1) + [False] * (len(drawing) - length)
    assert mask[27].sum() == 1


def test_the_origin_may_be_written_as_a_row_of_zeros(classifier: Classifier, strokes: np.ndarray) -> None:
    begun = np.pad(strokes, [(0, 0), (1, 0), (0, 0)])
    assert strokes[:25, 0].any(axis=1).all()
    np.testing.assert_allclose(answers(classifier, begun[:25]), answers(classifier, strokes[:25]), atol=1e-6)


def test_features_are_positions_in_the_bounding_box_offsets_and_the_pen() -> None:
    strokes = np.array([[[4, 0, 0], [0, 2, 1], [-4, 0, 1], [0, 0, 0]]], "float32")
    features, mask = Features()(strokes)
    expected = [
        [-1, -0.5, 0, 0, 0, 0],
        [1, -0.5, 2, 0, 1, 0],
        [1, 0.5, 0, 1, 1, 1],
        [-1, 0.5, -2, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(features)[0], expected, atol=1e-6)
    assert keras.ops.convert_to_numpy(mask).tolist() == [[True] * 4 + [False]]


@pytest.mark.parametrize("name", ["lstm", "conv_bilstm", "cnn28", "residual_cnn"])
def test_a_few_steps_on_awkward_drawings_lower_the_loss(name: str, strokes: np.ndarray) -> None:
    keras.utils.set_random_seed(1)
    learner = architectures.build(name, CLASSES, SketchConfig(dropout=0.0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    losses = [learner.train_on_batch(strokes, np.arange(len(strokes)) % CLASSES) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert all(np.isfinite(weight).all() for weight in learner.get_weights())


@pytest.mark.parametrize(("name", "cell", "parameters"), [
    ("lstm", "lstm", 4 * 256 * (5 + 256 + 1) + 257 * 345),
    ("lstm", "gru", 3 * 256 * (5 + 256 + 2) + 257 * 345),
    ("cnn28", "lstm", 10 * 32 + 289 * 64 + 577 * 64 + 577 * 64 + 65 * 345),
    ("conv_bilstm", "lstm", 882_586),
])  # fmt: skip
def test_parameters(name: str, cell: str, parameters: int) -> None:
    assert architectures.build(name, 345, SketchConfig(cell=cell)).count_params() == parameters


def test_recurrent_dropout_reaches_the_layers() -> None:
    for name in ("lstm", "conv_bilstm"):
        made = architectures.build(name, CLASSES, SketchConfig(recurrent_dropout=0.25))
        recurrent = [layer for layer in made._flatten_layers() if isinstance(layer, keras.layers.LSTM)]
        assert {layer.recurrent_dropout for layer in recurrent} == {0.25}


def test_truncation_reaches_the_layers_and_leaves_the_answer_alone(strokes: np.ndarray) -> None:
    plain, truncated = (architectures.build("lstm", CLASSES, SketchConfig(bptt=steps)) for steps in (0, 3))
    truncated.set_weights(plain.get_weights())
    assert any(isinstance(layer, TruncatedRNN) for layer in truncated.layers)
    few = strokes[:3, :8]
    np.testing.assert_allclose(truncated(few, training=False), plain(few, training=False), atol=1e-5)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"among lstm, .*fusion\. Received: vgg"):
        architectures.build("vgg", CLASSES)
    with pytest.raises(ValueError, match=r"among lstm, gru\. Received: rnn"):
        SketchConfig(cell="rnn")
    with pytest.raises(ValueError, match=r"dropout is a share, from 0 up to 1\. Received: 1"):
        SketchConfig(dropout=1)


@pytest.mark.parametrize("name", ["cnn28", "residual_cnn"])
@pytest.mark.parametrize("asked", [{"cell": "gru"}, {"recurrent_dropout": 0.1}, {"bptt": 4}])
def test_choices_of_recurrent_layers_are_refused_where_there_are_none(name: str, asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"for {name}, which has no recurrent layer\. Received: {next(iter(asked))}="):
        architectures.build(name, CLASSES, SketchConfig(**asked))


def test_the_order_and_the_pen_matter(classifier: Classifier, strokes: np.ndarray) -> None:
    cross = strokes[1:2, :8]
    assert cross[0, :, 2].sum() == 2

    def changes(change: Callable[[np.ndarray], np.ndarray]) -> bool:
        return bool(np.abs(answers(classifier, change(cross)) - answers(classifier, cross)).max() > 1e-5)

    assert changes(lambda drawing: drawing[:, ::-1])
    assert changes(lambda drawing: drawing * np.array([1, 1, 0], "float32"))
