"""`daily_series`: a folder of CSV files, one series a column."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from training.datasets.series import read


class DailySeries(tfds.core.GeneratorBasedBuilder):
    """One value a day, NaN where it is missing; the configuration is the name that the data is to go by.

    source: a CSV file or a folder of them, each with a column of dates. Without it, TensorFlow Datasets' folder for
    what was downloaded by hand.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "One example a series."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "CSV files with a column of dates and one or many columns of numbers."

    def __init__(self, *, source: Path | None = None, **options: Any) -> None:
        self._source = source
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Daily series. `first_day` counts from 1970-01-01, `place` is the order in the files.",
            features=tfds.features.FeaturesDict(
                {
                    "source": tfds.features.Text(),
                    "name": tfds.features.Text(),
                    "place": np.int64,
                    "first_day": np.int64,
                    "values": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        # One split: where the test part of a series begins is chosen in training, not here.
        return {"series": self._generate_examples(Path(self._source or dl_manager.manual_dir))}

    def _generate_examples(self, source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, series in enumerate(read(source)):
            yield (
                place,
                {
                    "source": series.source,
                    "name": series.name,
                    "place": place,
                    "first_day": series.first_day,
                    "values": series.values,
                },
            )
