import numpy as np

from training.sketchrnn.mistakes import confused, hardest_classes


def test_the_commonest_mistakes_come_first() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([1, 1, 0, 1, 0, 1, 1, 1])
    assert confused(predicted, labels) == [(2, 1, 3), (0, 1, 2), (1, 0, 1)]
    assert confused(predicted, labels, 1) == [(2, 1, 3)]
    assert confused(labels, labels) == []


def test_the_hardest_classes_come_first() -> None:
    labels = np.array([4, 4, 1, 1, 1])
    assert hardest_classes(np.array([True, True, False, True, False]), labels) == [(1, 1 / 3), (4, 1.0)]
