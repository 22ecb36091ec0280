from pathlib import Path

import numpy as np
import pytest

from training.datasets.clips import find_clips, load_clips
from training.datasets.moving_shapes import CLASSES, COLOURS, shape_clip, write_folder


def middles(name: str, seed: int) -> np.ndarray:
    """Where the moving shape is in each frame: (down, across) of what differs from the picture behind it."""
    frames = shape_clip(np.random.default_rng(seed), name).astype(int)
    moved = np.abs(frames - np.median(frames, axis=0)).sum(axis=-1) > 60
    return np.array([np.argwhere(picture).mean(axis=0) for picture in moved if picture.any()])


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("red_to_the_right", 1, 1), ("blue_to_the_left", 1, -1), ("green_upwards", 0, -1), ("yellow_downwards", 0, 1)],
)
def test_a_shape_goes_where_its_class_says(name: str, axis: int, sign: int) -> None:
    for seed in range(3):
        way = np.ptp(middles(name, seed), axis=0)
        course = np.diff(middles(name, seed)[[0, -1]], axis=0)[0]
        assert np.sign(course[axis]) == sign
        assert way.argmax() == axis


def test_a_shape_grows() -> None:
    frames = shape_clip(np.random.default_rng(0), "white_grows").astype(int)
    changed = (np.abs(frames - frames[0]).sum(axis=-1) > 30).sum(axis=(1, 2))
    assert (np.diff(changed) >= 0).all()
    assert changed[-1] > 50


def test_a_shape_comes_and_goes() -> None:
    frames = shape_clip(np.random.default_rng(0), "orange_blinks").astype(int)
    steps = np.abs(np.diff(frames, axis=0)).sum(axis=(1, 2, 3))
    assert (steps > 0).sum() >= 4
    assert (steps == 0).sum() >= 4


@pytest.mark.parametrize("name", CLASSES)
def test_two_clips_of_a_class_differ_in_length_size_and_ground(name: str) -> None:
    first, other = (shape_clip(np.random.default_rng(seed), name) for seed in (0, 1))
    assert first.dtype == np.uint8
    assert first.shape != other.shape
    assert (shape_clip(np.random.default_rng(0), name) == first).all()


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match=f"{next(iter(COLOURS))}.*Received: 'red'"):
        shape_clip(np.random.default_rng(0), "red")


def test_a_folder_is_one_that_the_classifier_reads(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shapes", {"train": 2, "valid": 1})
    classes, files = find_clips(folder)
    assert set(classes) == set(CLASSES)
    assert {split: len(found) for split, found in files.items()} == {"train": 16, "valid": 8}
    clips = load_clips(folder, "valid", cache=tmp_path / "cache", workers=1)
    assert clips.frames.shape == (8, 16, 112, 112, 3)
