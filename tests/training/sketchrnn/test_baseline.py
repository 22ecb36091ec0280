import numpy as np

from training.scores import hits
from training.sketchrnn import generate
from training.sketchrnn.baseline import nearest_mean
from training.sketchrnn.data import Drawings


def test_a_drawing_is_nearest_to_its_own_class() -> None:
    line, stroke = np.array([[10, 0, 1]], "float32"), np.array([[0, 5, 0], [0, 5, 1]], "float32")
    train = Drawings.of([line, stroke, 3 * line], [0, 1, 0])
    scores = nearest_mean(train, Drawings.of([stroke, line], [1, 0]), 3)
    assert scores.shape == (2, 3)
    assert scores.argmax(axis=1).tolist() == [1, 0]
    assert scores[0, 1] > 0.99
    assert scores[0, 2] == 0  # nothing of that class was seen


def test_shapes_are_told_apart_better_than_by_chance() -> None:
    sketches = generate.sketches(train=20, valid=1, test=5)
    test = sketches.splits["test"]
    right = hits(nearest_mean(sketches.splits["train"], test, len(sketches.classes)), test.labels, 1)
    assert right.mean() > 0.4
