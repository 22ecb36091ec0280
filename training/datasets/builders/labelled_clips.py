"""`labelled_clips`: a folder of clips, one folder a class."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from training.datasets.clip_store import ClipError
from training.datasets.clips import find_clips
from training.datasets.decoding import decode_clip

log = logging.getLogger(__name__)


class LabelledClips(tfds.core.GeneratorBasedBuilder):
    """Clips as the encoded files that they came as; the configuration is the name that the data is to go by.

    Encoded they take a hundredth of the room of frames, and any number and size of frames can be had of them later.
    Files that do not decode are left out, with a message that names them.

    source: a folder `[<split>/]<class>/*.mp4|webm|avi|gif`. Without it, TensorFlow Datasets' folder for what was
    downloaded by hand.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "One example a clip: the file, its name and its class."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Clips in folders <class>/, or <split>/<class>/ with splits train, valid and test."

    def __init__(self, *, source: Path | None = None, **options: Any) -> None:
        self._source = source
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Labelled clips, encoded.",
            features=tfds.features.FeaturesDict(
                {
                    "clip": tfds.features.Tensor(shape=(), dtype=np.object_),
                    "file": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = Path(self._source or dl_manager.manual_dir)
        classes, splits = find_clips(folder)
        self.info.features["label"].names = list(classes)
        return {split: self._generate_examples(folder, files) for split, files in splits.items()}

    def _generate_examples(
        self, folder: Path, files: Sequence[tuple[Path, int]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, label in files:
            try:
                decode_clip(path, frames=1, side=16)
            except ClipError as error:
                log.warning("left out a broken clip: %s", error)
                continue
            name = path.relative_to(folder).as_posix()
            yield name, {"clip": path.read_bytes(), "file": name, "label": label}
