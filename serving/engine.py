"""Inference and metadata, in plain numpy; what every front end calls."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from serving.entry import Served, current
from serving.errors import Code, DeadlineExceeded, InvalidInput, ServingError, Unavailable
from serving.quoting import listed
from serving.repository import Repository
from serving.repository.model_config import VersionPolicy
from serving.sequences import Sequences, SequenceStep
from serving.servables.metadata import ModelMetadata
from serving.signature import DEFAULT_SIGNATURE

if TYPE_CHECKING:
    from serving.servables.servable import Servable  # needs TensorFlow, and this module must import without


# Not frozen: such a class takes a microsecond longer for each field, and these are made for every request.
@dataclass(slots=True)
class InferRequest:
    """One request.

    inputs: arrays by name, each with the batch on axis 0; strings as object arrays of bytes.
    outputs: the names wanted; empty for all.
    deadline: on the clock of time.monotonic(), in seconds; None for the server's own limit.
    sequence: where the inputs only go on with those that came before under the same id.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: int | None = None
    label: str | None = None
    signature: str = DEFAULT_SIGNATURE
    outputs: Sequence[str] = ()
    deadline: float | None = None
    sequence: SequenceStep | None = None

    def is_like(self, other: "InferRequest") -> bool:
        """Whether it asks for the same of the same, whatever the inputs and the time for it."""
        return (self.model, self.version, self.label, self.signature, self.outputs, self.sequence) == (
            other.model,
            other.version,
            other.label,
            other.signature,
            other.outputs,
            other.sequence,
        )


@dataclass(slots=True)
class InferResult:
    """The answer, with the version that gave it."""

    model: str
    version: int
    signature: str
    outputs: Mapping[str, np.ndarray]


def _code(error: BaseException) -> Code:
    if isinstance(error, ServingError):
        return error.code
    return Code.CANCELLED if isinstance(error, asyncio.CancelledError) else Code.INTERNAL


Tally = Callable[[str, str, str], Callable[[float], None]]


class Refusals:
    """A block that tells `count` of what is raised in it."""

    __slots__ = ("_count", "_model")

    def __init__(self, count: Callable[[str, BaseException], None], model: str) -> None:
        self._count = count
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._count(self._model, error)


class Engine:
    """Answers requests for every model of a repository.

    timeout: seconds a request may take; a caller's own deadline can only shorten it.
    answered: called with (model, code, seconds) after each request.
    refused: called with (model, code) for each request that failed before there was one to answer.
    served: called with (model, api, entrypoint, seconds) when an answer has gone out, where its entry is known.
    computed: called with (model, api, seconds) likewise, for the time in which the model had the request.
    tally: for model, api and entrypoint, what counts requests on the short way by their seconds; None for the three
        callables above.
    sequences: where the inputs of unfinished sequences are kept.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        timeout: float = 30.0,
        answered: Callable[[str, Code, float], None] = lambda model, code, seconds: None,
        refused: Callable[[str, Code], None] = lambda model, code: None,
        served: Served = lambda model, api, entrypoint, seconds: None,
        computed: Callable[[str, str, float], None] = lambda model, api, seconds: None,
        tally: Tally | None = None,
        sequences: Sequences | None = None,
    ) -> None:
        self._repository = repository
        self.timeout = timeout
        self._answered = answered
        self._refused = refused
        self._served = served
        self._computed = computed
        self.tally = tally or self._one_by_one
        self._sequences = Sequences() if sequences is None else sequences
        self._withdrawn = False

    async def infer(self, request: InferRequest) -> InferResult:
        """Answers one request; raises ServingError and nothing else, or CancelledError with its caller."""
        began = time.monotonic()
        try:
            result = await self._infer(request, began)
        except BaseException as error:
            self._answered(self._known(request.model), _code(error), time.monotonic() - began)
            raise
        self._answered(result.model, Code.OK, time.monotonic() - began)
        return result

    def servable(self, model: str, version: int | None, label: str | None) -> "Servable | None":
        """The version that would answer now; None while models of the start are waited for. Raises as `infer` does."""
        return self._repository.get(model, version, label) if self._repository.is_started else None

    def _one_by_one(self, model: str, api: str, entrypoint: str) -> Callable[[float], None]:
        def answered(seconds: float) -> None:
            self.count_answered(model, api, seconds)
            self._served(model, api, entrypoint, seconds)

        return answered

    def count_answered(self, model: str, api: str, seconds: float) -> None:
        """Counts a request that its model was asked directly, and whose answer could not be written."""
        self._answered(model, Code.OK, seconds)
        self._computed(model, api, seconds)

    def count_failed(self, model: str, code: Code, seconds: float) -> None:
        """Counts one that got none."""
        self._answered(self._known(model), code, seconds)

    def refusals(self, model: str = "") -> "Refusals":
        """Counts what is raised in this block, in which a front end makes a request that `infer` will count.

        model: the name asked for, where it is known already.
        """
        return Refusals(self._count_refusal, model)

    def _count_refusal(self, model: str, error: BaseException) -> None:
        self._refused(self._known(model), _code(error))

    def _known(self, model: str) -> str:
        """Names that anybody can make up must not become labels."""
        return model if model in self._repository else ""

    def deadline(self, asked: float | None = None) -> float:
        """When a request that comes now must be answered, on the clock of time.monotonic()."""
        entry = current()
        own = entry.deadline if entry and entry.deadline is not None else time.monotonic() + self.timeout
        return own if asked is None else min(own, asked)

    async def started(self, deadline: float) -> None:
        """Waits for the models of the start, until `deadline`; then raises Unavailable."""
        if not self._repository.is_started:
            await self._repository.started(deadline - time.monotonic())

    async def _infer(self, request: InferRequest, began: float) -> InferResult:
        deadline = self.deadline(request.deadline)
        if deadline <= began:
            raise DeadlineExceeded("the deadline passed before the request arrived")
        if not self._repository.is_started:
            await self.started(deadline)
        servable = self._repository.get(request.model, request.version, request.label)
        signature = servable.metadata.signature(request.signature or DEFAULT_SIGNATURE)
        for name in request.outputs:
            if name not in signature.outputs:
                unknown = [name for name in request.outputs if name not in signature.outputs]
                raise InvalidInput(
                    f"signature '{signature.name}' has the outputs {listed(signature.outputs)}; "
                    f"received: {listed(unknown)}"
                )
        reached = time.monotonic()
        if request.sequence is not None:
            servable, outputs = await self._go_on(request.sequence, request, servable, signature.name, deadline)
        else:
            outputs = await servable.infer(signature.name, request.inputs, deadline)
        entry = current()
        if entry is not None:
            self._computed(request.model, entry.api, time.monotonic() - reached)
            entry.answered(request.model, self._served)
        if request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return InferResult(request.model, servable.version, signature.name, outputs)

    async def _go_on(
        self, step: SequenceStep, request: InferRequest, servable: "Servable", signature: str, deadline: float
    ) -> tuple["Servable", Mapping[str, np.ndarray]]:
        """Answers for all that came of a sequence so far, and says which version did."""
        rules = servable.policies[signature].rules
        if all(rule.axis is None for rule in rules.values()):
            raise InvalidInput(
                f"expected no sequence_id for model {request.model}: none of its inputs may come in pieces; got {step}"
            )
        address = (request.version, request.label, signature)
        async with self._sequences.step(request.model, address, step, request.inputs, rules, deadline) as inputs:
            # Steps before this one may have taken a while, and the version may have gone.
            servable = self._repository.get(request.model, request.version, request.label)
            servable.metadata.signature(signature)
            return servable, await servable.infer(signature, inputs, deadline)

    def expire(self) -> None:
        """Forgets sequences that nothing has come for in a while."""
        self._sequences.expire()

    def metadata(self, model: str, version: int | None = None, label: str | None = None) -> ModelMetadata:
        """What a loaded version takes and gives; raises NotFound or FailedPrecondition."""
        if not self._repository.is_started:
            raise Unavailable("the models are still loading")
        return self._repository.get(model, version, label).metadata

    def version_policy(self, model: str) -> VersionPolicy:
        """Which versions of a model are meant to serve."""
        configs = (config for config in self._repository.configs() if config.name == model)
        return next((config.policy for config in configs), VersionPolicy())

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
