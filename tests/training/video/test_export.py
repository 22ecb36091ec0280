import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training.video.evaluate import evaluate
from training.video.train import train

from ..clip_files import write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def version(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m training video --data FOLDER --epochs 1` leaves."""
    place = tmp_path_factory.mktemp("video")
    train(folder, run=place / "run", models=place / "models", epochs=1, batch_size=4, workers=1, compiled=False)
    return place / "models" / "video" / "1"


def test_the_classes_are_those_of_the_folder(version: Path) -> None:
    assert (version / "assets" / "labels.txt").read_text().splitlines() == ["calm", "loud"]
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    answer = served(frames=tf.zeros((2, 16, 112, 112, 3), tf.uint8))
    assert answer["top_classes"].shape == answer["top_scores"].shape == (2, 2)
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1.0, atol=1e-5)


def test_an_answer_does_not_depend_on_its_batch(version: Path) -> None:
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    clips = np.random.default_rng(0).integers(0, 255, (3, 16, 112, 112, 3), dtype=np.uint8)
    together = served(frames=tf.constant(clips))["probabilities"].numpy()
    for row in range(3):
        alone = served(frames=tf.constant(clips[row : row + 1]))["probabilities"].numpy()
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_clips_come_in_small_batches_and_fixed_shapes(version: Path) -> None:
    parameters = (version / "batching_params.pbtxt").read_text()
    assert "max_batch_size { value: 8 }" in parameters
    assert json.loads((version / "assets.extra" / "inputs.json").read_text()) == {}


def test_the_warm_up_is_one_clip(version: Path) -> None:
    assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size < 700_000


def test_the_card_says_what_went_in_and_what_came_out(version: Path) -> None:
    card = (version / "assets.extra" / "model_card.md").read_text()
    for part in ("`calm`, `loud`", "| train | 4 |", "| test | 4 |", "seed 0", "tensorflow 2.", "Not good for"):
        assert part in card
    assert "The training clips were varied: cropped to 75%" in card
    assert json.loads((version / "assets.extra" / "training.json").read_text())["options"]["dropout"] == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "cnn3d"}, r"arch=two_stream \(received cnn3d\)"),
        ({"mirror": True}, r"mirror=False \(received True\)"),
        ({"dropout": 0.3}, r"dropout=0.2 \(received 0.3\)"),
        ({"start_from": [Path("earlier")]}, r"start_from=None \(received \['earlier'\]\)"),
        ({"folder": None}, r"clips=None \(received 4000\), data=12 files of [\d,]+ bytes, \w+ \(received generated\)"),
    ],
)
def test_a_run_continues_with_its_own_options_and_data_only(
    version: Path, folder: Path, changes: dict[str, Any], message: str
) -> None:
    run = version.parents[2] / "run"
    clips = {path.name: path.stat().st_mtime_ns for path in (run / "clips").iterdir()}
    with pytest.raises(ValueError, match=message):
        train(**({"folder": folder, "run": run, "epochs": 1, "batch_size": 4, "resume": True} | changes))
    assert {path.name: path.stat().st_mtime_ns for path in (run / "clips").iterdir()} == clips


def test_moves_over_frames_are_no_test_of_other_classes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either --data or --over"):
        train(folder, over=folder, run=tmp_path)


def test_the_shipped_card_says_what_over_writes() -> None:
    root = Path(__file__).resolve().parents[3]
    card = (root / "models" / "video" / "1" / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert card.count("\n| the moves over frames of fight | ") == 2


def test_an_evaluation_is_printed_and_saved_with_its_plots(
    version: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "accuracy.md").write_text("before\n\n<!-- video -->\nold\n<!-- /video -->\n\nafter\n")
    split = [f"{folder.name}=valid+test"]
    evaluate([folder], model=[version], split=split, robust=1, cache=tmp_path, workers=1, save=docs)
    text = (docs / "accuracy.md").read_text()
    assert "old" not in text
    assert capsys.readouterr().out.strip() in text
    for part in (f"{folder.name}, valid and test (8)", "always calm", "two_stream", "gif", "| loud |"):
        assert part in text
    plots = sorted((docs / "accuracy").iterdir())
    assert [path.name for path in plots] == ["video-activation-1.png", "video-curves.png"]
    assert all(f"accuracy/{path.name}" in text and path.stat().st_size < 100_000 for path in plots)


def test_evaluating_without_clips_of_its_classes_is_refused(version: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"calm, loud; give their folder with --data. Received: no clips"):
        evaluate(model=[version], clips=10, cache=tmp_path, workers=1)
