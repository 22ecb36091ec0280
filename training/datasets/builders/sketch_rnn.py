"""`sketch_rnn`: drawings of Quick, Draw! as sequences of pen strokes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import tensorflow_datasets as tfds

from training.datasets.drawings import SPLITS, list_classes, read_file
from training.datasets.quickdraw_classes import SUBSETS

ADDRESS = "https://storage.googleapis.com/quickdraw_dataset/sketchrnn"


@dataclass(kw_only=True, eq=False)
class SketchRnnConfig(tfds.core.BuilderConfig):
    """Which classes, and whether all of their drawings or the 75,000 of each that sketch-rnn was trained on."""

    classes: tuple[str, ...] = ()
    full: bool = False

    def address(self, name: str) -> str:
        """Where the drawings of a class are published."""
        return f"{ADDRESS}/{quote(name)}{'.full' if self.full else ''}.npz"


class SketchRnn(tfds.core.GeneratorBasedBuilder):
    """Drawings as offsets of the pen, by class; from the files of sketch-rnn (Ha and Eck, 2017) or a copy of them.

    source: a folder of `<class>.npz` files to read in place of the published ones. Of a configuration's classes
    it gives those that it has; whatever else it holds is read under the configuration `all`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Strokes as int16 [points, 3]: dx, dy, pen lifted."}
    BUILDER_CONFIGS: ClassVar[list[SketchRnnConfig]] = [
        SketchRnnConfig(
            name=f"{name}_full" if full else name,
            description=f"{len(classes)} classes, {'every drawing' if full else '75,000 drawings of each'}.",
            classes=classes,
            full=full,
        )
        for full in (False, True)
        for name, classes in SUBSETS.items()
    ]

    def __init__(self, *, source: Path | None = None, **options: Any) -> None:
        self._source = source
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawings of the game Quick, Draw!, each a sequence of pen offsets.",
            features=tfds.features.FeaturesDict(
                {
                    "strokes": tfds.features.Tensor(shape=(None, 3), dtype=np.int16, encoding="bytes"),
                    "label": tfds.features.ClassLabel(),  # of which classes, the source says
                }
            ),
            supervised_keys=("strokes", "label"),
            homepage="https://github.com/googlecreativelab/quickdraw-dataset",
            license="CC BY 4.0",
            citation="David Ha and Douglas Eck: A Neural Representation of Sketch Drawings, arXiv:1704.03477, 2017.",
        )

    def _classes(self) -> list[str]:
        wanted = self.builder_config.classes
        if self._source is None:
            return list(wanted)
        there = list_classes(self._source)
        chosen = there if self.builder_config.name.startswith("all") else [name for name in there if name in wanted]
        if not chosen:
            raise ValueError(f"Expected some of {', '.join(wanted[:5])}, … in {self._source}. Received: {there[:5]}")
        return chosen

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        classes = self.info.features["label"].names = self._classes()
        if self._source is None:
            files = dl_manager.download({name: self.builder_config.address(name) for name in classes})
        else:
            files = {name: self._source / f"{name}.npz" for name in classes}
        return {split: self._generate_examples(files, split) for split in SPLITS}

    def _generate_examples(self, files: Mapping[str, Path], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, file in files.items():
            for index, drawing in enumerate(read_file(Path(file), [split])[split]):
                yield f"{name}/{index}", {"strokes": _int16(drawing, name), "label": name}


def _int16(drawing: np.ndarray, name: str) -> np.ndarray:
    if not np.array_equal(stored := drawing.astype(np.int16), drawing):
        raise ValueError(
            f"Expected whole offsets from -32768 to 32767 in the drawings of {name}, as published files have them; "
            f"train on the folder itself. Received: some up to {np.abs(drawing).max()}"
        )
    return stored
