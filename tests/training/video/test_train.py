import json
from pathlib import Path
from typing import Any

import pytest

from training.fitting import FitOptions
from training.video.comparison import Classifier
from training.video.evaluate import evaluate
from training.video.export import varied
from training.video.train import fingerprint, train


@pytest.mark.parametrize("splits", [("train", "valid"), (".",)])
def test_folders_are_told_apart_by_their_clips(splits: tuple[str, ...], tmp_path: Path) -> None:
    def write(split: str, name: str) -> str:
        place = tmp_path / split / "calm" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode())
        return fingerprint(tmp_path)

    for split in splits:
        write(split, "a.mp4")
    found = fingerprint(tmp_path)
    assert found.startswith(f"{len(splits)} files of ")
    assert write(splits[0], "b.mp4").startswith(f"{len(splits) + 1} files of ")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"mirror": True}, "expected --data with --mirror"),
        ({"crop": 0.5}, "expected --data with .*--crop"),
        ({"folder": Path("clips"), "clips": 20}, "either --data or --clips"),
        ({"compiled": True, "strategy": "mirrored"}, "--compiled without --strategy"),
    ],
)
def test_options_that_would_do_nothing_are_refused(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(run=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_the_card_tells_how_clips_were_varied(tmp_path: Path) -> None:
    def said(**fixed: Any) -> str:
        return varied(FitOptions(run=tmp_path, fixed=fixed))

    assert "cropped to 75% of a side at least, slowed, keeping 80% of their time at least, brightened" in said()
    still = {"mirror": None, "crop": 1.0, "speed": 1.0, "brightness": 0.0, "contrast": 0.0}
    assert said(variation=still) == "The training clips were not varied."
    assert said(variation=still | {"contrast": 0.2}, mirror=True) == (
        "The training clips were varied: given up to 20% more or less contrast, mirrored, with left and right "
        "exchanged in the names of classes."
    )


def test_only_models_trained_alike_but_for_the_seed_share_a_row(tmp_path: Path) -> None:
    def version(name: str, **facts: Any) -> Classifier:
        extra = tmp_path / name / "assets.extra"
        extra.mkdir(parents=True)
        (extra / "training.json").write_text(json.dumps(facts))
        return Classifier(tmp_path / name)

    known = {"architecture": "cnn3d", "clips": 9, "epochs": 2, "options": {"dropout": 0.1}}
    first = version("first", seed=0, **known)
    assert version("again", seed=1, **known).training == first.training
    for name, other in (("clips", 8), ("epochs", 3), ("options", {"dropout": 0.2}), ("architecture", "convlstm")):
        assert version(name, seed=1, **(known | {name: other})).training != first.training
    del known["options"]
    assert version("old", **known).training != version("older", **known).training


def test_splits_of_no_folder_and_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"splits of the folders in --data, fight\. Received: figth"):
        evaluate([tmp_path / "fight"], split=["figth=valid"])
    with pytest.raises(ValueError, match=r"folders of different names"):
        evaluate([tmp_path / "a" / "fight", tmp_path / "b" / "fight"])
