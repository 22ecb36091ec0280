from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from training.sketchrnn import generate
from training.sketchrnn.data import MAX_POINTS, Augmentation, Collate, Drawings, load

LINE = np.array([[5, 0, 0], [5, 1, 1]], "int16")
STILL = Augmentation(rotation=0, stretch=0, shear=0, flip=0, drop=0, jitter=0)


def write(path: Path, **splits: Sequence[np.ndarray]) -> None:
    """One class in the layout of the sketch-rnn files: object arrays of drawings."""
    arrays = {}
    for split, drawings in splits.items():
        arrays[split] = np.empty(len(drawings), object)
        for i, drawing in enumerate(drawings):
            arrays[split][i] = drawing
    np.savez(path, **arrays)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("cat", 2), ("ant", 1), ("bee hive", 3)):
        write(tmp_path / f"{name}.npz", train=[LINE] * count, valid=[LINE], test=[LINE])
    return tmp_path


def test_classes_are_sorted_and_drawings_labelled(folder: Path) -> None:
    sketches = load(folder)
    assert sketches.classes == ["ant", "bee hive", "cat"]
    train = sketches.splits["train"]
    assert train.labels.tolist() == [0, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(train[5], LINE)
    assert len(sketches.splits["test"]) == 3


def test_categories_give_the_order(folder: Path) -> None:
    (folder / "categories.txt").write_text("cat\nant\nbee hive\n")
    sketches = load(folder, ["train"])
    assert sketches.classes == ["cat", "ant", "bee hive"]
    assert sketches.splits["train"].labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert list(sketches.splits) == ["train"]


def test_long_drawings_are_cut(folder: Path) -> None:
    write(folder / "ant.npz", train=[np.ones((1000, 3), "int16")], valid=[LINE], test=[LINE])
    assert load(folder).splits["train"].lengths.max() == MAX_POINTS


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected a folder.*Received: .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"Expected <class>\.npz files"):
        load(tmp_path)


@pytest.mark.parametrize("listed", ["cat\nant\n", "cat\nant\nbee hive\ndog\n", "cat\ncat\nant\nbee hive\n"])
def test_categories_that_do_not_fit_the_files_are_refused(folder: Path, listed: str) -> None:
    (folder / "categories.txt").write_text(listed)
    with pytest.raises(ValueError, match=r"to name each <class>\.npz beside it once"):
        load(folder)


WRONG: Mapping[str, tuple[dict[str, list[np.ndarray]], str]] = {
    "a split is missing": ({"train": [LINE]}, "Expected arrays train, valid, test in .*cat.npz"),
    "stroke-5": ({"train": [np.zeros((4, 5))]}, r"\[points, 3\].*Received: float64 of shape \[4, 5\]"),
    "no points": ({"train": [np.zeros((0, 3), "int16")]}, r"Received: int16 of shape \[0, 3\]"),
    "words": ({"train": [np.array([["a", "b", "c"]])]}, "to be numbers"),
    "NaN": ({"train": [np.full((2, 3), np.nan)]}, "Expected finite offsets in train of .*cat.npz"),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_layout_is_refused_with_the_name_of_the_file(folder: Path, case: str) -> None:
    splits, message = WRONG[case]
    whole = splits if case == "a split is missing" else {"valid": [LINE], "test": [LINE]} | splits
    write(folder / "cat.npz", **whole)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 a broken one"])
def test_a_file_that_is_no_archive_is_refused(folder: Path, content: bytes) -> None:
    (folder / "cat.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected .*cat\.npz to be an \.npz file of drawings"):
        load(folder)


def test_a_single_array_is_refused(folder: Path) -> None:
    with (folder / "cat.npz").open("wb") as file:
        np.save(file, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"Expected .*cat\.npz to be an \.npz file of drawings"):
        load(folder)


def test_a_split_without_drawings_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "cat.npz", train=[LINE], valid=[], test=[LINE])
    with pytest.raises(ValueError, match="Expected drawings in split 'valid'"):
        load(tmp_path)


def test_real_drawings_load(shared_data: Path) -> None:
    sketches = load(shared_data / "quickdraw")
    listed = (shared_data / "quickdraw" / "categories.txt").read_text().splitlines()
    assert list(sketches.classes) == listed
    assert len(listed) == 345
    for split, least in (("train", 100_000), ("valid", 9_000), ("test", 9_000)):
        drawings = sketches.splits[split]
        assert len(drawings) > least
        assert len(np.unique(drawings.labels)) == 345


def drawings() -> Drawings:
    return generate.sketches(train=6, valid=1, test=1).splits["train"]


def test_padding_is_zeros_at_the_right() -> None:
    batch = Drawings.of([LINE, LINE[:1]], [0, 1]).padded(np.array([1, 0]), buckets=(1, 4, 9))
    assert batch.tolist() == [[[5, 0, 0]] + [[0, 0, 0]] * 3, [[5, 0, 0], [5, 1, 1]] + [[0, 0, 0]] * 2]


def test_augmentation_within_no_bounds_changes_nothing() -> None:
    strokes = drawings().padded(np.arange(40))
    np.testing.assert_allclose(STILL(strokes, np.random.default_rng(0)), strokes, atol=1e-3)


def test_augmentation_keeps_strokes_and_ends_and_follows_from_the_seed() -> None:
    strokes = drawings().padded(np.arange(60))
    varied = Augmentation(drop=0.5)(strokes, np.random.default_rng(3))
    np.testing.assert_array_equal(varied, Augmentation(drop=0.5)(strokes, np.random.default_rng(3)))
    np.testing.assert_array_equal(varied[..., 2].sum(axis=1), strokes[..., 2].sum(axis=1))
    ends = [np.flatnonzero(drawing[:, 2])[-1] for drawing in varied]
    assert all(not drawing[end + 1 :].any() for drawing, end in zip(varied, ends, strict=True))
    kept = varied.any(axis=2).sum() / strokes.any(axis=2).sum()
    assert 0.6 < kept < 0.95
    assert not np.allclose(varied[:, :4], strokes[:, :4])


def test_dropping_points_leaves_the_others_where_they_are() -> None:
    strokes = drawings().padded(np.arange(20))
    thinner = Augmentation(rotation=0, stretch=0, shear=0, flip=0, drop=0.9, jitter=0)(
        strokes, np.random.default_rng(1)
    )
    np.testing.assert_allclose(thinner[..., :2].sum(axis=1), strokes[..., :2].sum(axis=1), atol=1e-2)


def test_strokes_are_left_out_whole_but_for_the_first() -> None:
    drawing = np.array([[[3, 0, 0], [0, 3, 1], [5, 5, 0], [1, 0, 0], [0, 1, 1], [-4, 0, 0], [0, -2, 1]]], "float32")
    still = Augmentation(rotation=0, stretch=0, shear=0, flip=0, drop=0, jitter=0, drop_strokes=0.9)
    rng, seen = np.random.default_rng(5), set()
    for _ in range(60):
        varied = still(drawing, rng)[0]
        np.testing.assert_allclose(varied[:2], drawing[0, :2], atol=1e-5)
        assert varied[-1, 2] == 1
        places = np.round(np.cumsum(varied[:, :2], axis=0)).astype(int).tolist()
        seen.add(str(places))
        whole = np.cumsum(drawing[0, :, :2], axis=0).astype(int).tolist()
        assert places in [whole[:2], whole[:5], whole[:2] + whole[5:], whole]
    assert len(seen) == 4


def test_augmentation_of_a_drawing_without_extent_is_finite() -> None:
    strokes = np.zeros((3, 4, 3), "float32")
    strokes[1, 0, 2] = 1
    assert np.isfinite(Augmentation()(strokes, np.random.default_rng(0))).all()


def test_batches_are_strokes_and_labels() -> None:
    strokes, labels = Collate(drawings(), Augmentation())(np.arange(11), np.random.default_rng(0))
    assert strokes.dtype == np.float32
    assert strokes.shape[0] == 11
    assert labels.tolist() == list(range(11))


def test_generated_drawings_follow_from_the_seed_and_differ_between_splits() -> None:
    one, two, other = (generate.sketches(seed=s, train=2, valid=2, test=2).splits for s in (0, 0, 1))
    np.testing.assert_array_equal(one["train"].points, two["train"].points)
    assert not np.array_equal(one["train"].points, other["train"].points)
    assert not np.array_equal(one["train"].points, one["test"].points)


def test_generated_drawings_end_with_the_pen_lifted() -> None:
    sketches = generate.sketches(train=5, valid=1, test=1)
    assert len(sketches.classes) >= 8
    train = sketches.splits["train"]
    assert all(train[i][-1, 2] == 1 and train[i][:, :2].any() for i in range(len(train)))
    assert train.lengths.max() <= MAX_POINTS
