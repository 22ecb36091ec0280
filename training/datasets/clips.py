"""Clips, from folders `[<split>/]<class>/*.mp4|webm|avi|gif` or prepared: decoded once, in parallel, kept."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

from training.datasets import prepared, prepared_clips
from training.datasets.clip_store import ClipError, Clips, make_clips
from training.datasets.decoding import decode_clip

SUFFIXES = (".mp4", ".webm", ".avi", ".gif")
SPLITS = ("train", "valid", "test")


def find_clips(folder: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """List a folder of clips: the classes in order of name, and for each split its files with their labels.

    Where there are folders of splits, all must know the same classes; `train` and `valid` must be there, `test` may
    be missing. Where there are folders of classes alone, a tenth of every class is `valid` and another `test`:
    which, follows from the names of the files, so that more files move none of those that are there.
    """
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if not splits and folder.is_dir() and len(classes := _class_folders(folder)) > 1:
        return classes, _divided(folder, classes)
    if not {"train", "valid"} <= set(splits):
        raise ClipError(
            f"expected folders train/ and valid/ with one folder a class, or folders of classes. Received: {folder}"
        )
    classes = _class_folders(folder / "train")
    if len(classes) < 2:
        raise ClipError(f"expected two or more classes below train/. Received: {folder} with {list(classes)}")
    files: dict[str, list[tuple[Path, int]]] = {}
    for split in splits:
        if _class_folders(folder / split) != classes:
            unlike = sorted(set(classes) ^ set(_class_folders(folder / split)))
            raise ClipError(f"expected the classes of train/ in {split}/ too. Received: {folder} differing in {unlike}")
        files[split] = _labelled(folder / split, classes)
        if not files[split]:
            raise ClipError(f"expected {' '.join(SUFFIXES)} files below {split}/. Received: none in {folder}")
    return classes, files


def _labelled(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    return [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]


def _divided(folder: Path, classes: Sequence[str]) -> dict[str, list[tuple[Path, int]]]:
    files: dict[str, list[tuple[Path, int]]] = {split: [] for split in SPLITS}
    for path, label in _labelled(folder, classes):
        draw = hashlib.sha256(path.name.encode()).digest()[0] / 256
        files["valid" if draw < 0.1 else "test" if draw < 0.2 else "train"].append((path, label))
    for split, those in files.items():
        if missing := sorted(set(range(len(classes))) - {label for _, label in those}):
            raise ClipError(
                f"expected enough clips to take a tenth of every class for {split}; or make folders train/, valid/ "
                f"and test/ of your own. Received: none of {classes[missing[0]]} in {folder}"
            )
    return files


def describe(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes, and the splits that there are, of a folder of clips or a prepared dataset."""
    if version := prepared.locate(folder, *prepared_clips.NAMES):
        return tuple(prepared.labels(version)), prepared_clips.splits(version)
    classes, files = find_clips(folder)
    return classes, tuple(files)


def load_clips(folder: Path, split: str, *, cache: Path, workers: int = 2) -> Clips:
    """Decode one split, or take it from the folder `cache` if no file has changed since.

    Broken files are left out, each with a warning that names it. Instead of a folder, `folder` may name a prepared
    dataset, such as labelled_clips/fights or ucf101.
    """
    classes, splits = describe(folder)
    if split not in splits:
        raise ClipError(f"expected one of the splits {', '.join(splits)}. Received: {split!r}")
    if version := prepared.locate(folder, *prepared_clips.NAMES):
        clips = prepared_clips.load(version, split, classes, store=cache / split, workers=workers)
    else:
        files = find_clips(folder)[1][split]
        facts = [(path, path.stat()) for path, _ in files]
        stamp = [[str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns] for path, stat in facts]
        clips = make_clips(decode_clip, files, classes, store=cache / split, key=stamp, workers=workers)
    for message in clips.broken:
        warnings.warn(f"left out a broken clip: {message}", stacklevel=2)
    if len(clips) == 0:
        raise ClipError(f"expected clips that decode. Received: {folder / split}, all {len(clips.broken)} broken")
    return clips


def _class_folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
