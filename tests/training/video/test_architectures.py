"""Every architecture learns a folder of clips, is exported, and answers as it should, with no change but its name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.datasets.moving_shapes import CLASSES, write_folder
from training.fitting import FitOptions
from training.video import data, fixed
from training.video.architectures import ABOUT, ARCHITECTURES, FIXED
from training.video.export import export
from training.video.model import VideoConfig
from training.video.train import fit

STILL = data.Variation(crop=1.0, speed=1.0, brightness=0.0, contrast=0.0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> data.Videos:
    folder = write_folder(tmp_path_factory.mktemp("shapes"), {"train": 1, "valid": 1})
    return data.load(folder, cache=tmp_path_factory.mktemp("cache"), workers=1)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_it_learns_a_folder_and_is_exported(
    arch: str, shapes: data.Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed, "MOST", 2)  # copies of each clip
    rate = 5e-2 if arch in FIXED else 5e-3  # a linear layer alone takes larger steps
    options = FitOptions(run=tmp_path / "run", epochs=4, batch_size=8, learning_rate=rate, warm_up=0.0)
    config = VideoConfig(dropout=0.0)
    model, report = fit(shapes, options, arch=arch, config=config, variation=STILL, keep="last", compiled=False)
    assert report.best_epoch == 3
    assert report.history[-1]["loss"] < 0.8 * report.history[0]["loss"]

    train_only = replace(shapes, splits={"train": shapes.splits["train"]})  # figures for the card take their time
    version = export(
        tmp_path / "models", model, train_only, report=report, options=options, source=Path("shapes"), arch=arch
    )
    facts = json.loads((version / "assets.extra" / "training.json").read_text())
    assert facts["architecture"] == arch
    assert facts["parameters"] == model.count_params()
    assert facts["clips"] == 8
    assert [row["loss"] for row in facts["history"]] == [round(row["loss"], 4) for row in report.history]
    assert f"`{arch}`, {ABOUT[arch]}" in (version / "assets.extra" / "model_card.md").read_text()

    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    clips = np.random.default_rng(0).integers(0, 255, (1, 16, 112, 112, 3), dtype=np.uint8)
    answer = served(frames=tf.constant(clips))["probabilities"].numpy()
    expected = tf.nn.softmax(model(clips, training=False)).numpy()
    assert answer.shape == (1, len(CLASSES))
    np.testing.assert_allclose(answer, expected, atol=1e-4)
