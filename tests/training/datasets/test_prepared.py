import json
from pathlib import Path

import pytest

from training.datasets import prepared
from training.datasets.drawings import load
from training.fitting import fingerprint


def record(version: Path, name: str, content: str = "records") -> Path:
    """What stands for a prepared dataset where nobody reads its examples."""
    version.mkdir(parents=True)
    splits = [{"name": "train", "shardLengths": ["3", "4"]}, {"name": "valid", "shardLengths": ["0"]}]
    (version / "dataset_info.json").write_text(json.dumps({"name": name, "splits": splits}))
    (version / f"{name}-train.tfrecord-00000-of-00001").write_text(content)
    return version


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "datasets"


def test_a_name_means_the_newest_version(data_dir: Path) -> None:
    record(data_dir / "sketch_rnn/animals/1.0.0", "sketch_rnn")
    newest = record(data_dir / "sketch_rnn/animals/1.10.0", "sketch_rnn")
    record(data_dir / "sketch_rnn/animals/1.9.0", "sketch_rnn")
    record(data_dir / "sketch_rnn/animals/incomplete.1A2B3C_2.0.0", "sketch_rnn")
    for given in ("sketch_rnn/animals", "sketch_rnn", newest, newest.parent):
        assert prepared.locate(Path(given), "sketch_rnn") == newest
    assert prepared.counts(newest) == {"train": 7, "valid": 0}
    assert prepared.versions() == {"sketch_rnn/animals": newest}


def test_a_dataset_without_configurations_goes_by_its_name(data_dir: Path) -> None:
    version = record(data_dir / "quickdraw_bitmap/3.0.0", "quickdraw_bitmap")
    assert prepared.locate(Path("quickdraw_bitmap")) == version
    assert prepared.versions() == {"quickdraw_bitmap": version}


def test_other_paths_are_no_prepared_datasets(data_dir: Path) -> None:
    (data_dir.parent / "clips").mkdir()
    (data_dir.parent / "series.csv").write_text("")
    for given in ("clips", "series.csv", "nowhere", "/nowhere/sketch_rnn", "."):
        assert prepared.locate(Path(given)) is None


def test_what_is_not_prepared_is_refused_with_the_command_that_prepares_it(data_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"python -m training data sketch_rnn/food prepares it.*nothing yet"):
        load(Path("sketch_rnn/food"))
    record(data_dir / "sketch_rnn/animals/1.0.0", "sketch_rnn")
    with pytest.raises(ValueError, match=r"there is sketch_rnn/animals"):
        load(Path("sketch_rnn/food"))


def test_names_that_mean_several_or_other_data_or_are_misspelt_are_refused(data_dir: Path) -> None:
    record(data_dir / "daily_series/one/1.0.0", "daily_series")
    record(data_dir / "daily_series/two/1.0.0", "daily_series")
    with pytest.raises(ValueError, match=r"one of the configurations one, two.*Received: daily_series alone"):
        prepared.locate(Path("daily_series"))
    with pytest.raises(ValueError, match=r"Expected data of sketch_rnn.*which is daily_series"):
        load(Path("daily_series/one"))
    with pytest.raises(ValueError, match=r"such as sketch_rnn\. Received: sketchrnn/animals"):
        load(Path("sketchrnn/animals"))


def test_a_split_that_is_not_there_is_refused(data_dir: Path) -> None:
    version = record(data_dir / "sketch_rnn/animals/1.0.0", "sketch_rnn")
    for split in ("test", "valid", "train_all"):
        with pytest.raises(ValueError, match=f"a split among train, valid .*Received: '{split}'"):
            prepared.examples(version, split)


def test_runs_tell_prepared_data_apart(data_dir: Path) -> None:
    record(data_dir / "sketch_rnn/animals/1.0.0", "sketch_rnn")
    record(data_dir / "sketch_rnn/food/1.0.0", "sketch_rnn", "other records")
    found = {fingerprint(Path(f"sketch_rnn/{name}"), "*.npz") for name in ("animals", "food")}
    assert {text.split(",")[0] for text in found} == {"1 files of 7 bytes", "1 files of 13 bytes"}


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), prepared.written(tmp_path / "made") as partial:
        (partial / "half").rename(partial / "nowhere" / "half")
    assert not list(tmp_path.iterdir())
    with prepared.written(tmp_path / "made") as partial:
        (partial / "whole").write_text("")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["whole"]
