import numpy as np
import pytest

from training.losses import classification


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_labels_share_their_weight_with_all_classes(smoothing: float) -> None:
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 9.0]], "float32")
    labels = np.array([0, 1], "int32")
    shares = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(shares * logs).sum(axis=1).mean()
    assert float(classification(smoothing)(labels, logits)) == pytest.approx(expected, rel=1e-5)
