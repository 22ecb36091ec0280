import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training.fitting import FitOptions, FitReport
from training.sketchrnn import architectures, generate
from training.sketchrnn.evaluate import evaluate
from training.sketchrnn.export import export, varied
from training.sketchrnn.train import train
from training.starting import begin_with


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few generated drawings of each shape, in the layout of the sketch-rnn files."""
    folder = tmp_path_factory.mktemp("drawings")
    sketches = generate.sketches(train=12, valid=2, test=4)
    for label, name in enumerate(sketches.classes):
        arrays = {}
        for split, drawings in sketches.splits.items():
            chosen = np.flatnonzero(drawings.labels == label)
            arrays[split] = np.empty(len(chosen), object)
            arrays[split][:] = [drawings[i] for i in chosen]
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def version(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m training sketchrnn --data FOLDER --epochs 1 --about ...` leaves."""
    out = tmp_path_factory.mktemp("sketchrnn")
    train(folder, run=out / "run", models=out / "models", epochs=1, about="Drawn by nobody.")
    return out / "models" / "sketchrnn" / "1"


def test_strokes_are_padded_at_the_right_with_zeros(version: Path) -> None:
    rules = json.loads((version / "assets.extra" / "inputs.json").read_text())
    assert rules["strokes"] == {
        "axis": 1,
        "side": "right",
        "value": 0.0,
        "buckets": [32, 64, 128, 256],
        "min_length": 1,
        "nan_allowed": False,
    }


def test_the_exported_answer_does_not_depend_on_padding_or_batch(version: Path) -> None:
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    drawings = generate.sketches(train=1, valid=1, test=2).splits["test"]
    batch = drawings.padded(np.arange(22), buckets=(64,))
    together = served(strokes=tf.constant(batch))
    assert together["probabilities"].shape == (22, 11)
    assert together["top_classes"].shape == together["top_scores"].shape == (22, 5)
    for i in range(0, 22, 5):
        alone = served(strokes=tf.constant(drawings[i][None]))
        np.testing.assert_allclose(alone["probabilities"][0], together["probabilities"][i], atol=1e-5)
        assert alone["top_classes"][0, 0] == together["top_classes"][i, 0]


def test_the_card_says_what_went_in_and_what_came_out(version: Path) -> None:
    card = (version / "assets.extra" / "model_card.md").read_text()
    for part in (
        "Drawn by nobody.",
        "| test | 44 |",
        "| test | ",
        "seed 0",
        "tensorflow 2.",
        "Not good for",
        "`conv_bilstm`",
        "Strided convolutions over points",
        "the hardest classes are",
    ):
        assert part in card
    assert "varied: rotated by up to 0.2 radians" in card
    assert "strokes." not in card.partition("varied:")[2].partition("Epochs")[0]  # none were left out


def test_the_card_tells_of_no_variation_where_there_was_none(tmp_path: Path) -> None:
    none = dict.fromkeys(("rotation", "stretch", "shear", "flip", "drop", "jitter", "drop_strokes"), 0.0)
    assert varied(FitOptions(run=tmp_path, fixed=none)) == "The training drawings were not varied."
    turned = varied(FitOptions(run=tmp_path, fixed=none | {"rotation": 0.5}))
    assert turned == "The training drawings were varied: rotated by up to 0.5 radians."


def test_training_says_what_was_fitted(version: Path) -> None:
    facts = json.loads((version / "assets.extra" / "training.json").read_text())
    assert facts["architecture"] == "conv_bilstm"
    assert [sorted(row.keys() & {"accuracy", "val_accuracy"}) for row in facts["history"]] == [
        ["accuracy", "val_accuracy"]
    ]


@pytest.mark.parametrize("name", ["lstm", "cnn28", "fusion"])  # the latter holds the others
def test_every_architecture_is_exported_safe_to_pad(name: str, tmp_path: Path) -> None:
    sketches = generate.sketches(train=1, valid=1, test=1)
    model = architectures.build(name, len(sketches.classes))
    report = FitReport(history=[{"val_accuracy": 0.0}], best_epoch=0, monitor="val_accuracy", seconds=1, run=tmp_path)
    exported = export(tmp_path, model, sketches, report=report, options=FitOptions(run=tmp_path))
    facts = json.loads((exported / "assets.extra" / "training.json").read_text())
    assert facts["architecture"] == name
    begun = architectures.build(name, len(sketches.classes))
    begin_with(begun, [exported])
    for weight, expected in zip(begun.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_run_may_begin_where_a_version_ended(version: Path, folder: Path, tmp_path: Path) -> None:
    asked = {"run": tmp_path / "run", "models": tmp_path, "epochs": 1, "learning_rate": 1e-9, "export": False}
    train(folder, start_from=[version], **asked)
    before = json.loads((version / "assets.extra" / "training.json").read_text())["history"][-1]
    after = json.loads((tmp_path / "run" / "metrics.json").read_text())["best"]
    assert after["val_loss"] == pytest.approx(before["val_loss"], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "lstm"}, r"arch=conv_bilstm \(received lstm\)"),
        ({"rotation": 0.5}, r"rotation=0.2 \(received 0.5\)"),
        ({"dropout": 0.1}, r"dropout=0.3 \(received 0.1\)"),
        ({"folder": None}, r"data=\d+ files of [\d,]+ bytes, \w+ \(received generated\)"),
    ],
)
def test_a_run_continues_with_its_own_options_and_data_only(
    version: Path, folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(**({"folder": folder, "run": version.parents[2] / "run", "epochs": 1, "resume": True} | changes))


def test_evaluating_prints_one_table_and_writes_the_section(
    version: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.latency.latency", lambda version, request: 1.5)  # it takes a process of its own
    (tmp_path / "accuracy.md").write_text("# before\n<!-- sketchrnn -->\n<!-- /sketchrnn -->\nafter\n")
    evaluate(folder, model=[version], robust=True, save=tmp_path)
    printed = capsys.readouterr().out
    assert "On the 44 drawings of `test`" in printed
    assert "| conv_bilstm | 711,244 |" in printed
    for part in ("top-1", "| 1.50 |", "nearest mean picture", "33 to 64", "turned by +15°", "first 50%", "Hardest: "):
        assert part in printed
    page = (tmp_path / "accuracy.md").read_text()
    assert page.startswith("# before\n")
    assert printed.strip() in page
    plots = sorted((tmp_path / "accuracy").iterdir())
    assert [plot.name for plot in plots] == [f"sketchrnn-{name}.png" for name in ("classes", "confused", "curves")]
    assert all(f"(accuracy/{plot.name})" in page and plot.stat().st_size < 100_000 for plot in plots)


def test_evaluating_on_other_classes_is_refused(version: Path, shared_data: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected data of the 11 classes.*Received: 345 classes"):
        evaluate(folder=shared_data / "quickdraw", model=[version])


def test_an_unknown_split_is_refused(version: Path) -> None:
    with pytest.raises(ValueError, match=r"train, valid, test.*Received: all"):
        evaluate(model=[version], split="all")
