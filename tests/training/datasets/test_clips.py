import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from training.datasets.clip_store import ClipError
from training.datasets.clips import find_clips, load_clips
from training.datasets.decoding import Encoded, decode_clip, decode_picture, sample_indices

from ..clip_files import CODECS, write_clip, write_folder


def test_frames_are_evenly_spaced_with_both_ends() -> None:
    assert sample_indices(16).tolist() == list(range(16))
    assert sample_indices(31).tolist() == list(range(0, 31, 2))
    assert sample_indices(1).tolist() == [0] * 16
    assert len(set(sample_indices(5).tolist())) == 5


@pytest.mark.parametrize("suffix", CODECS)
def test_every_format_decodes(tmp_path: Path, suffix: str) -> None:
    frames = decode_clip(write_clip(tmp_path / f"clip{suffix}", frames=31))

    assert frames.shape == (16, 112, 112, 3)
    assert frames.dtype == np.uint8
    light = frames[:, :, 80:, 1].mean(axis=(1, 2))
    assert np.allclose(light, 6.0 * sample_indices(31), atol=20)  # the whole clip, in order
    assert (frames[:, :, :40, 0].mean() - frames[:, :, 70:, 0].mean()) > 40  # RGB, the whole frame


def test_a_clip_of_one_frame_repeats_it(tmp_path: Path) -> None:
    frames = decode_clip(write_clip(tmp_path / "one.mp4", frames=1))
    assert (frames == frames[0]).all()


def test_a_picture_keeps_its_proportions(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    first, last = decode_picture(clip, 0.0, 48), decode_picture(clip, 1.0, 48)
    assert first.shape == last.shape == (48, 80, 3)
    assert last.mean() > first.mean() + 100


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100], ids=["empty", "text"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"broken\.mp4"):
        decode_clip(path)


def test_a_folder_is_decoded_in_parallel_and_kept(tmp_path: Path) -> None:
    folder, cache = write_folder(tmp_path / "data"), tmp_path / "run"
    clips = load_clips(folder, "train", cache=cache, workers=2)

    assert clips.classes == ("calm", "loud")
    assert clips.labels.tolist() == [0, 0, 1, 1]
    for frames, path in zip(clips.frames, sorted((folder / "train").rglob("*.mp4")), strict=True):
        assert (frames == decode_clip(path)).all()
    assert isinstance(clips.frames, np.memmap)
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train", "valid"]

    stored = (cache / "train.npy").stat().st_mtime_ns
    again = load_clips(folder, "train", cache=cache)
    assert (cache / "train.npy").stat().st_mtime_ns == stored
    assert (again.frames == clips.frames).all()


def test_a_changed_folder_is_decoded_again(tmp_path: Path) -> None:
    folder, cache = write_folder(tmp_path / "data", clips=1), tmp_path / "run"
    assert len(load_clips(folder, "valid", cache=cache, workers=1)) == 2
    write_clip(folder / "valid" / "loud" / "new.mp4")
    assert len(load_clips(folder, "valid", cache=cache, workers=1)) == 3


def test_broken_files_are_left_out_by_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    whole = folder / "train" / "calm" / "1.mp4"
    whole.write_bytes(b"not a clip")
    with pytest.warns(UserWarning, match=os.path.join("train", "calm", r"1\.mp4")):
        clips = load_clips(folder, "train", cache=tmp_path / "run", workers=1)
    assert clips.labels.tolist() == [0, 1, 1]
    assert len(clips.frames) == 3
    assert len(clips.broken) == 1


def test_a_split_of_broken_files_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", clips=1)
    for path in (folder / "test").rglob("*.mp4"):
        path.write_bytes(b"not a clip")
    warnings.simplefilter("ignore")  # pytest restores the filters
    with pytest.raises(ClipError, match="all 2 broken"):
        load_clips(folder, "test", cache=tmp_path / "run", workers=1)


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="train/ and valid/"):
        find_clips(tmp_path)
    folder = write_folder(tmp_path / "data", clips=1)
    (folder / "valid" / "other").mkdir()
    with pytest.raises(ClipError, match="other"):
        find_clips(folder)
    (folder / "valid" / "other").rmdir()
    (folder / "valid" / "calm" / "0.mp4").rename(folder / "valid" / "calm" / "0.txt")
    (folder / "valid" / "loud" / "0.mp4").unlink()
    with pytest.raises(ClipError, match="valid/"):
        find_clips(folder)


def test_folders_of_classes_alone_are_divided_by_the_names_of_files(tmp_path: Path) -> None:
    for name in ("calm", "loud"):
        (tmp_path / name).mkdir()
        for place in range(60):
            (tmp_path / name / f"{place}.mp4").touch()
    classes, files = find_clips(tmp_path)
    assert classes == ("calm", "loud")
    assert sum(len(those) for those in files.values()) == 120
    assert {label for those in files.values() for _, label in those} == {0, 1}
    assert len(files["train"]) > 80
    for split in ("valid", "test"):
        assert len(files[split]) > 4

    (tmp_path / "calm" / "another.mp4").touch()
    _, more = find_clips(tmp_path)
    for split, those in files.items():
        assert set(those) <= set(more[split])


def test_folders_of_classes_alone_with_too_few_clips_are_refused(tmp_path: Path) -> None:
    for name in ("calm", "loud"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.mp4").touch()
    with pytest.raises(ClipError, match=r"make folders train/, valid/ and test/ of your own\. Received: none of calm"):
        find_clips(tmp_path)


def test_the_content_of_a_file_decodes_as_the_file_does(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.webm")
    assert (decode_clip(Encoded("clip", path.read_bytes())) == decode_clip(path)).all()
    with pytest.raises(ClipError, match="Received: that one"):
        decode_clip(Encoded("that one", b"no clip"))
