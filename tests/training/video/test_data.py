from pathlib import Path

import numpy as np
import pytest

from training.datasets.clip_store import Clips
from training.video.data import Collate, Variation, Videos, load, load_over, mirrored_labels, with_test

ONE = np.random.default_rng(0).integers(60, 190, (16, 112, 112, 3), dtype=np.uint8)


def clips(count: int) -> Clips:
    return Clips(np.stack([ONE] * count), np.arange(count, dtype=np.int32), tuple("abcdef"[:count]))


def test_a_batch_holds_the_clips_asked_for() -> None:
    frames, labels = Collate(clips(4))(np.array([3, 1]), np.random.default_rng(0))
    assert frames.dtype == np.uint8
    assert frames.shape == (2, 16, 112, 112, 3)
    assert labels.tolist() == [3, 1]


def test_a_batch_follows_from_its_generator() -> None:
    collate = Collate(clips(3), Variation(mirror=(0, 1, 2)))
    first, again, other = (collate(np.arange(3), np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_variation_of_nothing_changes_nothing() -> None:
    varied, label = Variation(crop=1.0, speed=1.0, brightness=0.0, contrast=0.0)(np.random.default_rng(0), ONE, 2)
    assert (varied == ONE).all()
    assert label == 2


def test_all_frames_of_a_clip_vary_alike() -> None:
    still = np.repeat(ONE[:1], 16, axis=0)
    varied, _ = Variation(mirror=(0,))(np.random.default_rng(3), still, 0)
    assert (varied == varied[:1]).all()
    assert (varied != still).any()


def test_a_clip_is_mirrored_only_where_that_keeps_its_class() -> None:
    half = np.zeros_like(ONE)
    half[:, :, 56:] = 200
    for seed in range(20):
        varied, _ = Variation()(np.random.default_rng(seed), half, 0)
        assert varied[:, :, :20].mean() < varied[:, :, -20:].mean()


def test_a_mirror_image_gets_the_class_that_it_shows() -> None:
    half = np.zeros_like(ONE)
    half[:, :, 56:] = 200
    seen = set()
    for seed in range(20):
        varied, label = Variation(mirror=(1, 0))(np.random.default_rng(seed), half, 0)
        assert label == int(varied[:, :, :20].mean() > varied[:, :, -20:].mean())
        seen.add(label)
    assert seen == {0, 1}


def test_left_and_right_change_places_in_the_mirror() -> None:
    assert mirrored_labels(("still", "pan_left", "pan_right", "bright")) == (0, 2, 1, 3)


def test_a_mirror_image_of_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="'turn_right', the mirror image of 'turn_left'"):
        mirrored_labels(("still", "turn_left"))


def test_a_slower_clip_shows_a_part_of_it_in_order() -> None:
    count = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 112, 112, 3), np.uint8)
    vary = Variation(crop=1.0, speed=0.5, brightness=0.0, contrast=0.0)
    spans = set()
    for seed in range(20):
        shown = vary(np.random.default_rng(seed), count, 0)[0][:, 0, 0, 0].astype(int)
        assert (np.diff(shown) >= 0).all()
        spans.add(int(shown[-1] - shown[0]))
    assert min(spans) >= 7
    assert len(spans) > 3


@pytest.mark.parametrize("changes", [{"crop": 0.0}, {"speed": 1.5}, {"brightness": 1.0}, {"contrast": -0.1}])
def test_a_variation_beyond_reason_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Variation(**changes)


def test_only_the_splits_asked_for_are_generated(tmp_path: Path) -> None:
    videos = load(None, cache=tmp_path, workers=1, sizes={"valid": 2})
    assert list(videos.splits) == ["valid"]
    assert videos.generated
    assert videos.classes[:3] == ("still", "pan_left", "pan_right")


def test_moves_can_be_made_over_real_frames(shared_data: Path, tmp_path: Path) -> None:
    videos = load_over(shared_data / "video" / "fight", "test", 11, cache=tmp_path, workers=1)
    made = videos.splits["test"]
    assert made.labels.tolist() == [*range(10), 0]
    still, pan = made.frames[0].astype(int), made.frames[1].astype(int)
    assert np.abs(still[0] - still[-1]).mean() < np.abs(pan[0] - pan[-1]).mean()


def test_other_clips_of_the_same_classes_may_be_tested_too() -> None:
    own = Videos(("a", "b"), {"train": clips(2), "test": clips(2)}, generated=True)
    real = Videos(("a", "b"), {"test": clips(1)}, generated=True)
    both = with_test(own, "over frames of fight", real)
    assert {split: len(found) for split, found in both.splits.items()} == {
        "train": 2,
        "test": 2,
        "over frames of fight": 1,
    }
    with pytest.raises(ValueError, match="expected clips of the classes"):
        with_test(own, "other", Videos(("c", "d"), {"test": clips(1)}, generated=True))


def test_a_split_without_clips_is_refused(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "clip.mp4").touch()
    with pytest.raises(ValueError, match="test"):
        load_over(tmp_path, "test", 10, cache=tmp_path / "cache")
