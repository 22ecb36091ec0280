"""What calls answer with. All are frozen; arrays that came from the server are read-only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from seqserve_client._exceptions import BadAnswer, MissingDependency
from seqserve_client._tensors import Array

if TYPE_CHECKING:
    import pandas as pd

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The quantile levels that the forecaster answers with."""


@dataclass(frozen=True, slots=True, eq=False)
class InferResult:
    """A model's outputs by name, with the version that gave them. Strings are objects of bytes."""

    model: str
    version: str
    outputs: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        """The output of this name. Raises BadAnswer where there is none."""
        try:
            return self.outputs[name]
        except KeyError:
            raise BadAnswer(f"{self.model}: expected an output {name!r}. Received: {sorted(self.outputs)}") from None


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """The days that follow one series.

    mean: float32 [horizon], in the series' own units.
    quantiles: float32 [horizon, levels], never falling along a row.
    levels: the probability of each column of `quantiles`.
    dates: one per row; None where the series' last date is not known.
    """

    mean: Array
    quantiles: Array
    dates: tuple[date, ...] | None
    model: str
    version: str
    levels: tuple[float, ...] = LEVELS

    def to_frame(self) -> "pd.DataFrame":
        """A DataFrame, one row a day: column "mean", then one for each level, "0.1" to "0.9".

        Its index holds the dates, named "date"; without them the steps from 1, named "step".
        Raises MissingDependency where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependency("to_frame needs pandas: pip install 'seqserve-client[pandas]'") from None
        if self.dates is None:
            index: pd.Index = pd.RangeIndex(1, len(self.mean) + 1, name="step")
        else:
            index = pd.DatetimeIndex(self.dates, freq="D", name="date")
        columns = {"mean": self.mean}
        columns |= {f"{level:g}": self.quantiles[:, i] for i, level in enumerate(self.levels)}
        return pd.DataFrame(columns, index=index)


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The best classes of one drawing or clip, best first.

    probabilities: float32 [classes] in the order of the model's labels; None where only the best came.
    """

    classes: tuple[str, ...]
    scores: tuple[float, ...]
    model: str
    version: str
    probabilities: Array | None = field(default=None, repr=False)

    @property
    def best(self) -> str:
        """The most likely class."""
        return self.classes[0]


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """One input or output: its datatype in the protocol's words (`FP32`, …); -1 is an axis of any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives, and which versions of it are there."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The server's name, version and protocol extensions."""

    name: str
    version: str
    extensions: tuple[str, ...]
