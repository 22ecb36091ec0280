import numpy as np
import pytest

from training.scores import Accuracy, hits


def test_hits_count_ranks() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    labels = np.array([1, 2])
    assert hits(probabilities, labels, 1).tolist() == [False, True]
    assert hits(probabilities, labels, 2).tolist() == [True, True]


def test_an_interval_is_wilsons() -> None:
    accuracy = Accuracy.of(np.array([True] * 9 + [False]))
    assert accuracy.share == pytest.approx(0.9)
    assert (accuracy.low, accuracy.high) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))
    assert str(accuracy) == "90.0 % (59.6 to 98.2)"
    assert Accuracy.of(np.ones(5, bool)).high == pytest.approx(1.0)
