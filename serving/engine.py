"""Inference, metadata and status, in plain numpy; what every front end calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serving.repository import VersionStatus
from serving.signature import Signature


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One request.

    inputs: arrays by name, each with the batch on axis 0; strings as object arrays of bytes.
    outputs: the names wanted; empty for all.
    deadline: on the clock of time.monotonic(), in seconds; None for the server's own limit.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: int | None = None
    label: str | None = None
    signature: str = "serving_default"
    outputs: Sequence[str] = ()
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class InferResult:
    """The answer, with the version that gave it."""

    model: str
    version: int
    signature: str
    outputs: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """A loaded version's signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, Signature]


class Engine:
    """Answers requests for every model of a repository."""

    async def infer(self, request: InferRequest) -> InferResult:
        raise NotImplementedError

    def metadata(self, model: str, version: int | None = None, label: str | None = None) -> ModelMetadata:
        raise NotImplementedError

    def status(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> Sequence[VersionStatus]:
        raise NotImplementedError

    def ready(self, model: str | None = None, version: int | None = None) -> bool:
        raise NotImplementedError

    def models(self) -> Sequence[str]:
        raise NotImplementedError
