"""`python -m training evaluate video`: exported classifiers on clips that they have not seen, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.datasets import camera_motion
from training.datasets.clip_store import Clips
from training.datasets.clips import describe
from training.report import Models, Save, Section, markdown_table, publish
from training.scores import Accuracy, hits
from training.video import data
from training.video.comparison import Classifier, Result, baseline, results
from training.video.plots import draw_all
from training.video.robustness import robustness_rows

FOLDER = "Folder <split>/<class>/*.mp4|webm|avi|gif; may be given more than once."
OVER = "Measure the moves of the camera over single frames of the clips in this folder, too."
SPLIT = "Splits that are measured, joined by +; or those of one of several folders: NAME=valid+test. Default: test."
ROBUST = "Record so many clips of each test anew: at other frame rates and sizes, in other codecs."


@dataclass(frozen=True, kw_only=True)
class Tests:
    """Where the clips come from that classifiers are measured on."""

    folders: Sequence[Path]
    over: Path | None
    splits: Mapping[str, Sequence[str]]
    clips: int
    seed: int
    cache: Path
    workers: int

    def __post_init__(self) -> None:
        names = [folder.name for folder in self.folders]
        if len(set(names)) < len(names):
            raise ValueError(f"expected folders of different names, by which they are told apart. Received: {names}")
        if unknown := sorted(set(self.splits) - {"", *names}):
            known = ", ".join(names) or "none"
            raise ValueError(f"expected splits of the folders in --data, {known}. Received: {', '.join(unknown)}")

    def load(self, wanted: set[tuple[str, ...]]) -> dict[str, Clips]:
        """Those sets of clips whose classes are wanted, by name."""
        found: dict[str, Clips] = {}
        options = {"seed": self.seed, "workers": self.workers}
        if camera_motion.CLASSES in wanted:
            splits = self._splits("")
            sizes = dict.fromkeys(splits, self.clips)
            found["camera motion"] = _joined(data.load(None, cache=self.cache, sizes=sizes, **options), splits)
            if self.over is not None:
                cache = self.cache / "over"
                moved = {s: data.load_over(self.over, s, self.clips, cache=cache, **options).splits[s] for s in splits}
                videos = data.Videos(camera_motion.CLASSES, moved, generated=True)
                found[f"camera motion over frames of {self.over.name}"] = _joined(videos, splits)
        for folder in self.folders:
            if describe(folder)[0] in wanted:
                splits = self._splits(folder.name)
                sizes = dict.fromkeys(splits, self.clips)
                videos = data.load(folder, cache=self.cache / folder.name, sizes=sizes, **options)
                found[f"{folder.name}, {' and '.join(splits)}"] = _joined(videos, splits)
        return found

    def _splits(self, name: str) -> Sequence[str]:
        return self.splits.get(name, self.splits[""])


def evaluate(
    folder: Annotated[list[Path] | None, typer.Option("--data", help=FOLDER)] = None,
    over: Annotated[Path | None, typer.Option(help=OVER)] = None,
    model: Models = [Path("models/video/1")],  # noqa: B006
    split: Annotated[list[str] | None, typer.Option(help=SPLIT)] = None,
    clips: Annotated[int, typer.Option(min=10, help="Clips of camera motion to generate.")] = 1000,
    robust: Annotated[int, typer.Option(min=0, help=ROBUST)] = 0,
    seed: Annotated[int, typer.Option(help="Of generated clips.")] = 0,
    cache: Annotated[Path, typer.Option(help="Folder for decoded clips.")] = Path("runs/video/clips"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode or generate clips.")] = 2,
    save: Save = None,
) -> None:
    """Print one table of exported classifiers; of a single one on a single set of clips, each class, too."""
    models = [Classifier(version) for version in model]
    named = [part.rpartition("=") for part in ("test", *(split or []))]
    splits = {name: parts.split("+") for name, _, parts in named}
    wanted = Tests(folders=folder or [], over=over, splits=splits, clips=clips, seed=seed, cache=cache, workers=workers)
    tests = wanted.load({classifier.labels for classifier in models})
    _expect_known(models, tests)
    found = results(models, tests)
    rows = [
        row
        for test, tested in tests.items()
        for row in (baseline(test, tested), *(result.row() for result in found if result.test == test))
    ]
    tables = [rows]
    if robust:
        groups = ([result for result in found if result.test == test] for test in tests)
        tables += [robustness_rows(group, robust) for group in groups if group]
    if len(found) == 1:
        tables.append(_classes(found[0]))
    parts = [markdown_table(table) for table in tables]
    plots = draw_all(found) if save is not None else {}
    parts += [f"![{shown}](accuracy/video-{name}.png)" for name, (shown, _) in plots.items()]
    figures = {name: figure for name, (_, figure) in plots.items()}
    publish(Section(family="video", markdown="\n\n".join(parts), plots=figures), save)


def _joined(videos: data.Videos, splits: Sequence[str]) -> Clips:
    """The clips of several splits as one."""
    missing = sorted(set(splits) - set(videos.splits))
    if missing:
        raise ValueError(f"expected some of the splits {', '.join(videos.splits)}. Received: {', '.join(missing)}")
    parts = [videos.splits[split] for split in splits]
    if len(parts) == 1:
        return parts[0]
    frames, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("frames", "labels"))
    return Clips(frames, labels, videos.classes)


def _expect_known(models: Sequence[Classifier], tests: Mapping[str, Clips]) -> None:
    known = {clips.classes for clips in tests.values()}
    for model in models:
        if model.labels not in known:
            raise ValueError(
                f"expected clips of the classes of {model.version}, {', '.join(model.labels)}; give their folder "
                f"with --data. Received: {', '.join(tests) or 'no clips'}"
            )


def _classes(result: Result) -> list[dict[str, str]]:
    """A row for each class: how often its clips are recognised, and what they are taken for."""
    right = hits(result.probabilities[0], result.clips.labels, 1)
    answers = result.probabilities[0].argmax(axis=1)
    rows = []
    for label, name in enumerate(result.clips.classes):
        part = result.clips.labels == label
        if part.any():
            wrong = np.bincount(answers[part & ~right], minlength=len(result.clips.classes))
            others = [
                f"{result.clips.classes[other]} {wrong[other]}" for other in np.argsort(-wrong)[:3] if wrong[other]
            ]
            score = str(Accuracy.of(right[part]))
            rows.append({"class": name, "clips": str(part.sum()), "top-1": score, "taken for": ", ".join(others)})
    return rows
