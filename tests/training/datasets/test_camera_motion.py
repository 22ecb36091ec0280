from pathlib import Path

import numpy as np
import pytest

from training.datasets import camera_motion
from training.datasets.camera_motion import CANVAS, CLASSES, MOVES, camera_clip, camera_path, mirrored, render
from training.datasets.textures import texture


def moved(name: str, amount: float) -> np.ndarray:
    """Two grey frames: before and after a move of so many pixels at the frame's edge."""
    component, sign = MOVES[name]
    values = np.zeros((4, 2))
    values[component, 1] = sign * amount / (1.0 if component < 2 else 56.0)
    return render(texture(np.random.default_rng(5), CANVAS), camera_motion.Path(values)).mean(axis=3)


def test_a_pan_to_the_left_moves_the_content_to_the_right() -> None:
    before, after = moved("pan_left", 5.0)
    assert np.allclose(after[:, 5:], before[:, :-5], atol=1e-4)


def test_a_tilt_up_moves_the_content_down() -> None:
    before, after = moved("tilt_up", 5.0)
    assert np.allclose(after[5:], before[:-5], atol=1e-4)


def test_a_zoom_in_makes_the_content_grow() -> None:
    before, after = moved("zoom_in", 56.0 * np.log(2.0))
    smaller = after.reshape(56, 2, 56, 2).mean(axis=(1, 3))
    assert np.abs(smaller - before[28:84, 28:84]).mean() < 0.2 * before.std()


def test_a_roll_to_the_left_turns_the_content_clockwise() -> None:
    before, after = moved("rotate_left", 56.0 * np.pi / 2)
    assert np.allclose(after, np.rot90(before, -1), atol=1e-3)


@pytest.mark.parametrize("name", MOVES)
def test_a_path_goes_where_its_name_says(name: str) -> None:
    component, sign = MOVES[name]
    for seed in range(50):
        values = camera_path(np.random.default_rng(seed), name).values
        way = (values[:, -1] - values[:, 0]) * [1.0, 1.0, 56.0, 56.0]
        assert np.sign(way[component]) == sign
        assert np.abs(way).argmax() == component


def test_still_stays_and_shake_returns() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert np.abs(camera_path(rng, "still").values).max() < 0.8
        shake = camera_path(rng, "shake").values
        assert shake[:2].std() > 0.6
        assert np.abs(shake[:2].mean(axis=1)).max() < 0.5


def test_an_unknown_move_is_refused() -> None:
    with pytest.raises(ValueError, match="dolly"):
        camera_path(np.random.default_rng(0), "dolly")


def test_a_mirrored_clip_is_of_the_class_that_it_shows() -> None:
    """Follow the brightest spot of an asymmetric picture through flips and see that names keep their promise."""
    frames = np.zeros((16, 112, 112, 3), np.uint8)
    for index in range(16):  # content moves to the right: pan_left
        frames[index, 50:54, 20 + 2 * index : 26 + 2 * index] = 255
    seen = set()
    for seed in range(40):
        varied, label = mirrored(np.random.default_rng(seed), frames, CLASSES.index("pan_left"))
        columns = [np.flatnonzero(frame.any(axis=(0, 2))).mean() for frame in varied]
        assert CLASSES[label] == ("pan_left" if columns[-1] > columns[0] else "pan_right")
        seen.add(CLASSES[label])
    assert seen == {"pan_left", "pan_right"}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("tilt_up", {"tilt_up", "tilt_down"}),
        ("zoom_in", {"zoom_in", "zoom_out"}),
        ("rotate_left", {"rotate_left", "rotate_right"}),
        ("still", {"still"}),
        ("shake", {"shake"}),
    ],
)
def test_mirrors_stay_in_the_family_of_a_move(name: str, others: set[str]) -> None:
    frames = np.zeros((16, 112, 112, 3), np.uint8)
    labels = {mirrored(np.random.default_rng(seed), frames, CLASSES.index(name))[1] for seed in range(40)}
    assert {CLASSES[label] for label in labels} == others


def test_clips_follow_from_seed_split_and_place(tmp_path: Path) -> None:
    first = camera_motion.generated_clips("train", 3, seed=3, cache=tmp_path / "a", workers=1)
    again = camera_motion.generated_clips("train", 3, seed=3, cache=tmp_path / "b", workers=2)
    other = camera_motion.generated_clips("test", 3, seed=3, cache=tmp_path / "a", workers=1)

    assert first.frames.shape == (3, 16, 112, 112, 3)
    assert first.labels.tolist() == [0, 1, 2]
    assert (first.frames == again.frames).all()
    assert not (first.frames == other.frames).all(axis=(1, 2, 3, 4)).any()


def test_no_single_frame_gives_the_class_away() -> None:
    """One picture starts every move alike: what tells the classes apart is only what follows."""
    middles = []
    for name in MOVES:
        values = camera_path(np.random.default_rng(1), name).values
        middles.append((values[:, 0] + values[:, -1]) / 2)
    assert np.abs(middles).max() < 25.0
    clips = [camera_clip(np.random.default_rng(seed), name) for seed in range(6) for name in ("pan_left", "zoom_in")]
    light = np.array([clip[8].mean() for clip in clips]).reshape(6, 2)
    assert light.std(axis=0).min() > 5.0  # frames differ more within a class than between classes
