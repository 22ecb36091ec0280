from pathlib import Path

import keras
import numpy as np
import pytest

from training.runlog import CHECKPOINT
from training.sketchrnn import architectures
from training.starting import begin, begin_with, told
from training.video.architectures import build as build_video

MODELS = Path(__file__).resolve().parents[2] / "models"


def run_of(folder: Path, model: keras.Model) -> Path:
    """What of a run's folder a later fit begins with."""
    folder.mkdir()
    best = {f"best/{i:05d}": value for i, value in enumerate(model.get_weights())}
    np.savez(folder / CHECKPOINT, about=np.array('{"history": [{}, {}]}'), **best)
    return folder


def test_weights_are_taken_but_for_those_of_other_classes(tmp_path: Path) -> None:
    before, after = architectures.build("cnn28", 3), architectures.build("cnn28", 5)
    fresh = [weight.copy() for weight in after.get_weights()]
    assert begin_with(after, [run_of(tmp_path / "run", before)]) == ["logits/kernel", "logits/bias"]
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


def test_a_source_of_other_sizes_is_refused_whole(tmp_path: Path) -> None:
    wide = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5, name="hidden"), keras.layers.Dense(2)])
    narrow = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="hidden"), keras.layers.Dense(2)])
    before = [weight.copy() for weight in narrow.get_weights()]
    with pytest.raises(ValueError, match=r"shape \(3, 4\) for .*hidden/kernel\. Received: \(3, 5\) in .*run"):
        begin_with(narrow, [run_of(tmp_path / "run", wide)])
    for weight, expected in zip(narrow.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_clips_may_begin_with_a_version_and_it_is_said_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, version = build_video("two_stream", 2), MODELS / "video" / "1"
    begin(model, [version], tmp_path)
    assert capsys.readouterr().out.rstrip().endswith("as classes are others: logits/kernel, logits/bias")
    same = build_video("two_stream", 10)
    begin(same, [version], tmp_path)
    assert capsys.readouterr().out == ""
    for one, other in zip(model.get_weights()[:-2], same.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_is_continued_needs_no_source_any_more(tmp_path: Path) -> None:
    model = architectures.build("cnn28", 3)
    begin(model, [tmp_path / "nowhere"], run_of(tmp_path / "run", model))
    with pytest.raises(ValueError, match=r"Received: .*nowhere"):
        begin(model, [tmp_path / "nowhere"], tmp_path / "new")


def test_a_source_is_told_with_its_epochs_where_it_is_there(tmp_path: Path) -> None:
    assert told(run_of(tmp_path / "first", architectures.build("cnn28", 3))) == "first (2 epochs)"
    assert told(MODELS / "video" / "1") == "video/1 (10 epochs)"
    assert told(tmp_path / "nowhere") == "nowhere"
