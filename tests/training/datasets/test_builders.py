"""The builders under TensorFlow Datasets' own tests, and what the readers make of what they prepare."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")

from training.datasets.builders import DailySeries, LabelledClips, SketchRnn  # noqa: E402
from training.datasets.clips import describe, load_clips  # noqa: E402
from training.datasets.drawings import load  # noqa: E402
from training.datasets.quickdraw_classes import CLASSES, SUBSETS  # noqa: E402
from training.datasets.series import read  # noqa: E402

from ..clip_files import write_folder  # noqa: E402
from .quickdraw_folder import write_class  # noqa: E402


class BuilderCase(tfds.testing.DatasetBuilderTestCase):
    """What TensorFlow Datasets asks of every builder, on dummy data written for the test."""

    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.EXAMPLE_DIR = cls.folder.name
        cls.write(Path(cls.folder.name))
        super().setUpClass()

    @classmethod
    def write(cls, folder: Path) -> None:
        raise NotImplementedError


class SketchRnnTest(BuilderCase):
    __test__ = True
    DATASET_CLASS = SketchRnn
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["shapes"]
    DL_DOWNLOAD_RESULT: ClassVar = {name: f"{name}.npz" for name in SUBSETS["shapes"]}
    SPLITS: ClassVar = {"train": 20, "valid": 10, "test": 10}
    SKIP_CHECKSUMS = True  # nothing is published of the files that could be compared

    @classmethod
    def write(cls, folder: Path) -> None:
        for seed, name in enumerate(SUBSETS["shapes"]):
            write_class(folder / f"{name}.npz", seed, train=2, valid=1, test=1)


class DailySeriesTest(BuilderCase):
    __test__ = True
    DATASET_CLASS = DailySeries
    SPLITS: ClassVar = {"series": 3}

    @classmethod
    def write(cls, folder: Path) -> None:
        (folder / "shops.csv").write_text("day,north,south\n2024-01-01,1,2\n2024-01-03,3,\n")
        (folder / "trains.csv").write_text("day,rail\n2024-02-01,5.5\n2024-02-02,6\n")


class LabelledClipsTest(BuilderCase):
    __test__ = True
    DATASET_CLASS = LabelledClips
    SPLITS: ClassVar = {"train": 4, "valid": 4, "test": 4}

    @classmethod
    def write(cls, folder: Path) -> None:
        write_folder(folder)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def prepare(builder: Any, data_dir: Path, **options: Any) -> None:
    builder(data_dir=data_dir, **options).download_and_prepare()


def test_drawings_are_read_from_what_was_prepared_of_a_copy(data_dir: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("zigzag", "circle", "yoga")):
        write_class(tmp_path / "copy" / f"{name}.npz", seed, train=3, valid=1, test=1)
    prepare(SketchRnn, data_dir, config="shapes", source=tmp_path / "copy")
    (tmp_path / "copy" / "yoga.npz").unlink()
    whole = load(tmp_path / "copy")

    for _ in range(2):  # unpacked, then mapped
        sketches = load(Path("sketch_rnn/shapes"))
        assert sketches.classes == ["circle", "zigzag"] == whole.classes
        for split, drawings in sketches.splits.items():
            assert drawings.points.dtype == np.int16
            assert _contents(drawings) == _contents(whole.splits[split])
    assert drawings.padded(np.array([0])).dtype == np.float32


def _contents(drawings: Any) -> set[tuple[int, bytes]]:
    return {(int(label), drawings[i].astype("int16").tobytes()) for i, label in enumerate(drawings.labels)}


def test_every_class_has_its_address_and_the_themes_are_of_classes() -> None:
    assert len(CLASSES) == 345
    assert sorted(SUBSETS) == ["all", "animals", "body", "food", "instruments", "shapes", "vehicles"]
    assert {name: len(those) for name, those in SUBSETS.items()} == {
        "all": 345,
        "animals": 48,
        "food": 31,
        "vehicles": 24,
        "instruments": 10,
        "body": 20,
        "shapes": 10,
    }
    plain, full = (SketchRnn.builder_configs[name] for name in ("animals", "animals_full"))
    bucket = "https://storage.googleapis.com/quickdraw_dataset/sketchrnn"
    assert plain.address("sea turtle") == f"{bucket}/sea%20turtle.npz"
    assert full.address("sea turtle") == f"{bucket}/sea%20turtle.full.npz"


def test_series_are_read_from_what_was_prepared(data_dir: Path, tmp_path: Path) -> None:
    DailySeriesTest.write(tmp_path)
    prepare(DailySeries, data_dir, config=tfds.core.BuilderConfig(name="mine"), source=tmp_path)
    prepared_series = read(Path("daily_series/mine"))
    for series, expected in zip(prepared_series, read(tmp_path), strict=True):
        assert (series.source, series.name, series.first_day) == (expected.source, expected.name, expected.first_day)
        np.testing.assert_array_equal(series.values, expected.values)
    assert [series.name for series in read(Path("daily_series/mine"), ["rail"])] == ["trains:rail"]
    with pytest.raises(ValueError, match=r"columns \['bus'\] among the series"):
        read(Path("daily_series"), ["bus"])


def test_clips_are_read_from_what_was_prepared(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "train" / "calm" / "broken.mp4").write_bytes(b"not a clip")
    prepare(LabelledClips, data_dir, config=tfds.core.BuilderConfig(name="mine"), source=folder)
    assert "broken.mp4" in caplog.text
    (folder / "train" / "calm" / "broken.mp4").unlink()
    clips = load_clips(Path("labelled_clips/mine"), "train", cache=tmp_path / "a", workers=1)
    expected = load_clips(folder, "train", cache=tmp_path / "b", workers=1)

    assert describe(Path("labelled_clips/mine")) == (("calm", "loud"), ("train", "valid", "test"))
    assert clips.classes == expected.classes
    assert sorted(clips.labels) == sorted(expected.labels)
    for frames, label in zip(clips.frames, clips.labels, strict=True):
        assert any((frames == other).all() for other in expected.frames[expected.labels == label])


def test_clips_of_ucf101_are_read_as_tensorflow_datasets_stores_them(data_dir: Path, tmp_path: Path) -> None:
    """A small dataset of that name and those features, as the real one is of seven gigabytes."""
    shades = [40, 90, 140, 190] * 5
    features = tfds.features.FeaturesDict(
        {
            "video": tfds.features.Video((None, 32, 48, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
        }
    )
    examples = [
        (place, {"video": [np.full((32, 48, 3), shade, np.uint8)] * 20, "label": int(shade > 100)})
        for place, shade in enumerate(shades)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="ucf101",
        version="2.0.0",
        features=features,
        split_datasets={"train": examples, "test": examples[:4]},
        data_dir=data_dir,
        config=tfds.core.BuilderConfig(name="ucf101_1", version="2.0.0"),
        disable_shuffling=True,
    )
    parts = {split: load_clips(Path("ucf101"), split, cache=tmp_path, workers=1) for split in ("train", "valid")}

    assert describe(Path("ucf101/ucf101_1")) == (("dark", "light"), ("train", "valid", "test"))
    assert {split: len(clips) for split, clips in parts.items()} == {"train": 18, "valid": 2}
    for clips, places in ((parts["train"], shades[:18]), (parts["valid"], shades[18:])):
        assert clips.frames.shape[1:] == (16, 112, 112, 3)
        assert clips.labels.tolist() == [int(shade > 100) for shade in places]
        assert np.allclose(clips.frames.mean(axis=(1, 2, 3, 4)), places, atol=3)
