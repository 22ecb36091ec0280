from pathlib import Path

import keras
import numpy as np
import pytest

from training.runlog import CHECKPOINT
from training.sketchrnn import architectures
from training.sketchrnn.starting import begin_with


def run_of(folder: Path, model: keras.Model) -> Path:
    """What of a run's folder a later fit begins with."""
    folder.mkdir()
    np.savez(folder / CHECKPOINT, **{f"best/{i:05d}": value for i, value in enumerate(model.get_weights())})
    return folder


def test_weights_are_taken_but_for_those_of_other_classes(tmp_path: Path) -> None:
    before, after = architectures.build("cnn28", 3), architectures.build("cnn28", 5)
    fresh = [weight.copy() for weight in after.get_weights()]
    begin_with(after, [run_of(tmp_path / "run", before)])
    for old, new, first in zip(before.get_weights(), after.get_weights(), fresh, strict=True):
        np.testing.assert_array_equal(new, old if old.shape == new.shape else first)


def test_members_of_a_fusion_begin_each_with_its_own_run(tmp_path: Path) -> None:
    parts = [architectures.build(name, 4) for name in ("conv_bilstm", "residual_cnn")]
    runs = [run_of(tmp_path / part.name, part) for part in parts]
    fused = architectures.build("fusion", 4)
    begin_with(fused, runs)
    strokes = np.random.default_rng(0).normal(size=(2, 9, 3)).astype("float32")
    answers = [keras.ops.convert_to_numpy(model(strokes, training=False)) for model in (*parts, fused)]
    np.testing.assert_allclose(answers[2], (answers[0] + answers[1]) / 2, atol=1e-5)


def test_what_is_no_run_of_this_architecture_is_refused(tmp_path: Path) -> None:
    model = architectures.build("cnn28", 3)
    run = run_of(tmp_path / "run", architectures.build("lstm", 3))
    with pytest.raises(ValueError, match=r"run or version of cnn28, which has 10 arrays.*Received: .*run with 5"):
        begin_with(model, [run])
    with pytest.raises(ValueError, match=r"Expected the folder of a run.*Received: .*nowhere"):
        begin_with(model, [tmp_path / "nowhere"])
    with pytest.raises(ValueError, match=r"each of the 0 members of cnn28\. Received: 2"):
        begin_with(model, [run, run])
