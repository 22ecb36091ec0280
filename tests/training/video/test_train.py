from pathlib import Path

import keras
import numpy as np
import pytest

from training.runlog import CHECKPOINT
from training.video.architectures import build
from training.video.train import begin_with


def store(run: Path, weights: list[np.ndarray]) -> Path:
    np.savez(run / CHECKPOINT, **{f"best/{index:05d}": value for index, value in enumerate(weights)})
    return run


def test_a_run_may_begin_with_the_weights_of_another_but_for_the_classes(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    earlier, later = build("two_stream", 10), build("two_stream", 2)
    before = later.get_weights()
    begin_with(later, store(tmp_path, earlier.get_weights()))
    same = [np.array_equal(a, b) for a, b in zip(earlier.get_weights(), later.get_weights(), strict=True)]
    assert same == [a.shape == b.shape for a, b in zip(earlier.get_weights(), before, strict=True)]
    assert same.count(False) == 2  # kernel and bias of the classes


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="with 1 weights"):
        begin_with(build("two_stream", 2), store(tmp_path, [np.zeros(3)]))
