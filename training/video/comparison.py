"""Exported classifiers, the clips they are measured on, and one row of a table for each."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.clip_store import FRAMES, SIDE, Clips, Frames
from training.latency import latency
from training.report import bootstrap, facts
from training.scores import hits

BATCH = 8
SCORE = "top-1 (95 % interval)"


@dataclass(frozen=True)
class Classifier:
    """An exported version: its labels, what is known of how it was trained, and its answers."""

    version: Path

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple((self.version / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines())

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        return facts(self.version)

    @property
    def training(self) -> str:
        """What models trained alike from other seeds have in common; of a model that does not tell, its own place."""
        if "options" not in self.facts:
            return str(self.version)
        return json.dumps([self.facts.get(name) for name in ("architecture", "clips", "epochs", "options")])

    @cached_property
    def milliseconds(self) -> float:
        return latency(self.version, {"frames": np.zeros((1, FRAMES, SIDE, SIDE, 3), np.uint8)})

    @cached_property
    def classify(self) -> Callable[[Frames], NDArray[np.float32]]:
        import tensorflow as tf

        served = tf.saved_model.load(str(self.version)).signatures["serving_default"]
        return lambda frames: served(frames=tf.constant(frames))["probabilities"].numpy()


@dataclass(frozen=True)
class Result:
    """The answers of models of one architecture, trained alike but for the seed, to one set of clips.

    probabilities: for each model, float32 [clips, classes].
    """

    test: str
    clips: Clips
    models: Sequence[Classifier]
    probabilities: Sequence[NDArray[np.float32]]

    @property
    def architecture(self) -> str:
        return str(self.models[0].facts.get("architecture", self.models[0].version))

    @cached_property
    def shares(self) -> list[float]:
        """For each model, the share of the clips that it is right on."""
        return [float(np.mean(hits(answers, self.clips.labels, 1))) for answers in self.probabilities]

    def row(self) -> dict[str, str]:
        """One row of the table; the interval is that of the mean over the models, from drawing the clips anew."""
        known = self.models[0].facts
        right = np.mean([hits(answers, self.clips.labels, 1) for answers in self.probabilities], axis=0)
        span = f", {100 * min(self.shares):.1f} to {100 * max(self.shares):.1f} %" if len(self.shares) > 1 else ""
        return {
            "clips": f"{self.test} ({len(self.clips):,})",
            "architecture": self.architecture,
            "parameters": f"{known['parameters']:,}" if "parameters" in known else "",
            "trained on": f"{known['clips']:,} clips, {known['epochs']} epochs" if "clips" in known else "",
            "s/epoch": str(known.get("seconds_per_epoch", "")),
            "ms a clip": f"{self.models[0].milliseconds:.1f}",
            SCORE: _share(right),
            "seeds": f"{len(self.shares)}{span}",
        }


def results(models: Sequence[Classifier], tests: Mapping[str, Clips]) -> list[Result]:
    """Give what the models answer on those tests whose classes they know, those trained alike together."""
    found = []
    for test, clips in tests.items():
        alike: dict[str, list[Classifier]] = defaultdict(list)
        for model in models:
            if model.labels == clips.classes:
                alike[model.training].append(model)
        found += [
            Result(test, clips, group, [predict(model.classify, clips.frames) for model in group])
            for group in alike.values()
        ]
    return found


def baseline(test: str, clips: Clips) -> dict[str, str]:
    """The row of answering always with the class that is the commonest in `clips`."""
    commonest = int(np.bincount(clips.labels).argmax())
    row = dict.fromkeys(
        ("clips", "architecture", "parameters", "trained on", "s/epoch", "ms a clip", SCORE, "seeds"), ""
    )
    return row | {
        "clips": f"{test} ({len(clips):,})",
        "architecture": f"always {clips.classes[commonest]}",
        SCORE: _share((clips.labels == commonest).astype(np.float64)),
    }


def predict(classify: Callable[[Frames], NDArray[np.float32]], frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give what `classify` answers for all clips, float32 [clips, classes]; it gets eight clips at a time."""
    parts = []
    for start in range(0, len(frames), BATCH):
        part = frames[start : start + BATCH]
        rows = len(part)
        part = np.pad(part, [(0, BATCH - rows), *[(0, 0)] * 4])  # one shape, compiled once
        parts.append(classify(part)[:rows])
    return np.concatenate(parts)


def _share(right: NDArray[np.float64]) -> str:
    low, high = bootstrap(right, np.random.default_rng(0))
    return f"{100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})"
