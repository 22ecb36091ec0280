import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.datasets import prepared
from training.datasets.clips import describe
from training.datasets.drawings import load
from training.datasets.prepare import ABOUT, prepare

from ..clip_files import write_folder
from .quickdraw_folder import objects, write_class

ROOT = Path(__file__).resolve().parents[3]


def shapes(folder: Path, drawings: int = 4) -> Path:
    for seed, name in enumerate(("circle", "star")):
        write_class(folder / f"{name}.npz", seed, train=drawings, valid=1, test=1)
    return folder


def run(arguments: list[str]) -> Any:
    return CliRunner().invoke(app(arguments), arguments)


def test_every_dataset_is_described_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert set(ABOUT) == set(prepared.NAMES)
    printed = run(["data", "--data-dir", str(tmp_path)]).output
    assert all(name in printed for name in ABOUT)
    assert "1.0.0" not in printed


def test_every_option_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = [line.strip("│ ").split() for line in run(["data", "--help"]).output.splitlines() if "│" in line]
    described = {words[0] for words in lines if len(words) > 4}
    assert described >= {"name", "--from", "--data-dir", "--sheet", "--anew"}


def test_a_dataset_is_prepared_once_and_its_samples_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "datasets"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    arguments = ["data", "sketch_rnn/shapes", "--from", str(shapes(tmp_path / "copy"))]
    first = run(arguments)
    assert "sketch_rnn/shapes: 8 train, 2 valid, 2 test" in first.output
    assert "python -m training sketchrnn --data sketch_rnn/shapes" in first.output
    assert (tmp_path / "runs/data/sketch_rnn-shapes.png").read_bytes()[:4] == b"\x89PNG"
    assert "sketch_rnn/shapes 1.0.0" in run(["data"]).output

    shapes(tmp_path / "copy", drawings=6)
    assert "8 train" in run(arguments).output
    assert "12 train" in run([*arguments, "--anew"]).output
    assert len(load(Path("sketch_rnn/shapes")).splits["train"]) == 12


def test_series_and_clips_go_by_the_name_of_their_folder(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text("day,sales\n2024-01-01,1\n2024-01-02,2\n")
    common = ["--data-dir", str(tmp_path / "datasets"), "--sheet", str(tmp_path / "sheet.png")]
    printed = run(["data", "daily_series", "--from", str(tmp_path / "shops.csv"), *common]).output
    assert "daily_series/shops: 1 series" in printed
    series = (tmp_path / "sheet.png").stat().st_size

    write_folder(tmp_path / "clips", clips=1)
    printed = run(["data", "labelled_clips/mine", "--from", str(tmp_path / "clips"), *common]).output
    assert "labelled_clips/mine: 2 train, 2 valid, 2 test" in printed
    assert (tmp_path / "sheet.png").stat().st_size != series
    assert describe(tmp_path / "datasets/labelled_clips/mine")[0] == ("calm", "loud")


WRONG = {
    "sketch_rn": "such as sketch_rnn",
    "mnist": "the name of a dataset, such as sketch_rnn or",
    "sketch_rnn/animal": "a configuration of sketch_rnn, such as animals",
    "daily_series": "Expected --from and the folder that holds the data of daily_series",
    "daily_series/a b --from .": "a name of letters",
    "sketch_rnn/shapes --from nowhere": "Received: nowhere, which is not there",
    "sketch_rnn/shapes --from .": r"Expected <class>.npz files in the sketch-rnn layout",
    "labelled_clips/mine --from .": "expected folders train/ and valid/",
    "daily_series/mine --from .": "expected a CSV file or a folder of CSV files",
    "ucf101 --from .": "Expected no --from for ucf101",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_cannot_be_prepared_is_refused_and_leaves_nothing(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, _, source = given.partition(" --from ")
    with pytest.raises(ValueError, match=WRONG[given]):
        prepare(name, source=Path(source) if source else None, data_dir=tmp_path / "datasets")
    assert prepared.versions(tmp_path / "datasets") == {}
    assert not list(tmp_path.glob("datasets/**/*incomplete*"))


def test_a_program_that_is_missing_is_named_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="Expected ffmpeg on PATH"):
        prepare("ucf101", data_dir=tmp_path)


def test_an_address_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ConnectionError, match=r"Expected to reach the files of sketch_rnn.*--from.*quickdraw_dataset"):
        prepare("sketch_rnn/instruments", data_dir=tmp_path)
    assert prepared.versions(tmp_path) == {}


def test_what_a_killed_preparation_left_is_no_hindrance(tmp_path: Path) -> None:
    source, data_dir = shapes(tmp_path / "copy", drawings=5_000), tmp_path / "datasets"
    command = [sys.executable, "-m", "training", "data", "sketch_rnn/shapes", "--from", str(source)]
    with subprocess.Popen([*command, "--data-dir", str(data_dir)], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(data_dir.glob("sketch_rnn/shapes/incomplete.*_1.0.0")):
            assert process.poll() is None, "prepared before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert prepared.versions(data_dir) == {}

    version = prepare("sketch_rnn/shapes", source=shapes(source), data_dir=data_dir)
    assert prepared.counts(version) == {"train": 8, "valid": 2, "test": 2}
    assert [path.name for path in version.parent.iterdir() if path.is_dir()] == ["1.0.0"]


@pytest.mark.parametrize("offset", [40_000, 0.5])
def test_drawings_that_would_not_come_back_as_they_are_are_refused(offset: float, tmp_path: Path) -> None:
    drawings = objects([np.array([[offset, 0, 1]])])
    np.savez(tmp_path / "circle.npz", train=drawings, valid=drawings, test=drawings)
    with pytest.raises(ValueError, match="Expected whole offsets from -32768 to 32767"), np.errstate(invalid="ignore"):
        prepare("sketch_rnn/shapes", source=tmp_path, data_dir=tmp_path / "datasets")


def test_what_is_prepared_anew_is_kept_until_that_is_done(tmp_path: Path) -> None:
    source, data_dir = tmp_path / "shops.csv", tmp_path / "datasets"
    source.write_text("day,sales\n2024-01-01,1\n2024-01-02,2\n")
    version = prepare("daily_series", source=source, data_dir=data_dir)
    kept = {file.name: file.read_bytes() for file in version.iterdir()}
    source.write_text("nothing")
    with pytest.raises(ValueError, match="shops"):
        prepare("daily_series", source=source, data_dir=data_dir, anew=True)
    assert {file.name: file.read_bytes() for file in version.iterdir()} == kept

    version.rename(version.with_name(f".{version.name}-before"))  # as one leaves it that is killed
    assert prepare("daily_series", source=source, data_dir=data_dir) == version
    assert {file.name: file.read_bytes() for file in version.iterdir()} == kept
    assert [folder.name for folder in version.parent.iterdir() if folder.is_dir()] == [version.name]
