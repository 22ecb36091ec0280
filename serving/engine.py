"""Inference, metadata and status, in plain numpy; what every front end calls."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serving.errors import Code, DeadlineExceeded, InvalidInput, NotFound, ServingError, Unavailable
from serving.repository import Repository, VersionStatus
from serving.signature import DEFAULT_SIGNATURE, Signature


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
    signature: str = DEFAULT_SIGNATURE
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

    def signature(self, name: str) -> Signature:
        """The signature of that name; raises NotFound."""
        return _signature(self.name, self.signatures, name)


def _signature(model: str, signatures: Mapping[str, Signature], name: str) -> Signature:
    if name not in signatures:
        raise NotFound(f"model {model} has the signatures {sorted(signatures)}; received: '{name}'")
    return signatures[name]


class Engine:
    """Answers requests for every model of a repository.

    timeout: seconds a request may take; a caller's own deadline can only shorten it.
    answered: called with (model, code, seconds) after each request.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        timeout: float = 30.0,
        answered: Callable[[str, Code, float], None] = lambda model, code, seconds: None,
    ) -> None:
        self._repository = repository
        self._timeout = timeout
        self._answered = answered
        self._withdrawn = False

    async def infer(self, request: InferRequest) -> InferResult:
        """Answers one request; raises ServingError and nothing else, or CancelledError with its caller."""
        began = time.monotonic()
        code = Code.OK
        try:
            return await self._infer(request, began)
        except ServingError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception:
            code = Code.INTERNAL
            raise
        finally:
            known = request.model if request.model in self._repository else ""
            self._answered(known, code, time.monotonic() - began)

    async def _infer(self, request: InferRequest, began: float) -> InferResult:
        deadline = began + self._timeout
        if request.deadline is not None:
            deadline = min(deadline, request.deadline)
        if deadline <= began:
            raise DeadlineExceeded("the deadline passed before the request arrived")
        if not self._repository.is_started:
            await self._repository.started(deadline - began)
        servable = self._repository.get(request.model, request.version, request.label)
        signature = _signature(request.model, servable.signatures, request.signature or DEFAULT_SIGNATURE)
        unknown = [name for name in request.outputs if name not in signature.outputs]
        if unknown:
            raise InvalidInput(
                f"signature '{signature.name}' has the outputs {sorted(signature.outputs)}; received: {unknown}"
            )
        outputs = await servable.infer(signature.name, request.inputs, deadline)
        if request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return InferResult(request.model, servable.version, signature.name, outputs)

    def metadata(self, model: str, version: int | None = None, label: str | None = None) -> ModelMetadata:
        """What a loaded version takes and gives; raises NotFound or FailedPrecondition."""
        if not self._repository.is_started:
            raise Unavailable("the models are still loading")
        servable = self._repository.get(model, version, label)
        return ModelMetadata(model, servable.version, servable.signatures)

    def status(self, model: str, version: int | None = None, label: str | None = None) -> Sequence[VersionStatus]:
        """The known versions of a model, newest first; raises NotFound where there are none."""
        if label is not None:
            version = self._repository.get(model, label=label).version
        return self._repository.statuses(model, version)

    def ready(self, model: str | None = None, version: int | None = None) -> bool:
        """Whether the server, or one model or version, would answer a request now."""
        if self._withdrawn or not self._repository.is_started:
            return False
        if model is None:
            return True
        try:
            self._repository.get(model, version)
        except ServingError:
            return False
        return True

    def withdraw(self) -> None:
        """Says from now on that it is not ready; what still comes is answered."""
        self._withdrawn = True
