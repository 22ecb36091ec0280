"""Folders of clips, `<split>/<class>/*.mp4|webm|avi|gif`: decoded once, in parallel, kept beside the run."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from training.datasets.clip_store import FRAMES, SIDE, ClipError, Clips, Frames, make_clips

SUFFIXES = (".mp4", ".webm", ".avi", ".gif")
SPLITS = ("train", "valid", "test")


def sample_indices(count: int, frames: int = FRAMES) -> NDArray[np.int64]:
    """Give the indices of `frames` frames evenly spaced over a clip of `count`, first and last included."""
    return np.rint(np.linspace(0, count - 1, frames)).astype(np.int64)


def decode_clip(path: str | os.PathLike[str], frames: int = FRAMES, side: int = SIDE) -> Frames:
    """Decode evenly spaced frames of a clip, each resized whole, uint8 [frames, side, side, 3].

    Reads the file twice, first to count, so that a long clip needs no memory for the frames it does not use.
    Raises ClipError, naming the file, where it is no video or breaks off.
    """
    with _naming(path):
        wanted = sample_indices(_count(path), frames)
        kept: dict[int, Frames] = {}
        for index, frame in enumerate(_decoded(path)):
            if index in wanted:
                kept[index] = _resized(frame, side, side)
        return np.stack([kept[index] for index in wanted])


def decode_picture(path: str | os.PathLike[str], place: float, side: int) -> NDArray[np.uint8]:
    """Decode the one frame at `place` (0 to 1) of a clip, uint8 [height, width, 3], the shorter of them `side`."""
    with _naming(path):
        wanted = round(place * (_count(path) - 1))
        frame = next(islice(_decoded(path), wanted, None))
        scale = side / min(frame.width, frame.height)
        return _resized(frame, round(frame.width * scale), round(frame.height * scale))


def find_clips(folder: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """List a folder of clips: the classes in order of name, and for each split its files with their labels.

    Every split must know the same classes; `train` and `valid` must be there, `test` may be missing.
    """
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if not {"train", "valid"} <= set(splits):
        raise ClipError(f"expected folders train/ and valid/ with one folder a class. Received: {folder}")
    classes = _class_folders(folder / "train")
    if len(classes) < 2:
        raise ClipError(f"expected two or more classes below train/. Received: {folder} with {list(classes)}")
    files: dict[str, list[tuple[Path, int]]] = {}
    for split in splits:
        if _class_folders(folder / split) != classes:
            unlike = sorted(set(classes) ^ set(_class_folders(folder / split)))
            raise ClipError(f"expected the classes of train/ in {split}/ too. Received: {folder} differing in {unlike}")
        files[split] = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((folder / split / name).iterdir())
            if path.suffix.lower() in SUFFIXES
        ]
        if not files[split]:
            raise ClipError(f"expected {' '.join(SUFFIXES)} files below {split}/. Received: none in {folder}")
    return classes, files


def load_clips(folder: Path, split: str, *, cache: Path, workers: int = 2) -> Clips:
    """Decode one split, or take it from the folder `cache` if no file has changed since.

    Broken files are left out, each with a warning that names it.
    """
    classes, splits = find_clips(folder)
    if split not in splits:
        raise ClipError(f"expected one of the splits {', '.join(splits)}. Received: {split!r}")
    files = splits[split]
    facts = [(path, path.stat()) for path, _ in files]
    stamp = [[str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns] for path, stat in facts]
    clips = make_clips(decode_clip, files, classes, store=cache / split, key=stamp, workers=workers)
    for message in clips.broken:
        warnings.warn(f"left out a broken clip: {message}", stacklevel=2)
    if len(clips) == 0:
        raise ClipError(f"expected clips that decode. Received: {folder / split}, all {len(files)} broken")
    return clips


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what may go wrong in reading a clip into a ClipError that names it."""
    try:
        yield
    except (av.FFmpegError, OSError, ClipError, KeyError, StopIteration) as error:
        reason = error.strerror if isinstance(error, av.FFmpegError | OSError) else error
        raise ClipError(f"expected a clip that decodes to its end ({reason}). Received: {path}") from error


def _resized(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    return frame.reformat(width, height, "rgb24", interpolation=Interpolation.BILINEAR).to_ndarray()


def _count(path: str | os.PathLike[str]) -> int:
    count = sum(1 for _ in _decoded(path))
    if count == 0:
        raise ClipError("it has no frames")
    return count


def _decoded(path: str | os.PathLike[str]) -> Iterator[av.VideoFrame]:
    with av.open(os.fspath(path)) as container:
        if not container.streams.video:
            raise ClipError("it has no video stream")
        yield from container.decode(video=0)


def _class_folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
