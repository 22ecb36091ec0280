"""The short way through the engine, for requests like others before: no coroutine, no task, and no check made twice.

It takes what needs nothing but a place in a batch. All else, and whatever is wrong with a request, is left to
`Engine.infer`, which says so in the right words: the short way only ever declines.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from serving.engine import Engine, InferRequest, InferResult
from serving.errors import Code, ServingError
from serving.offload import LARGE_BYTES
from serving.servables.batching import NotByRows
from serving.servables.queue import Job

if TYPE_CHECKING:
    from serving.servables.function import Function  # these need TensorFlow
    from serving.servables.servable import Servable

Arrays = Mapping[str, np.ndarray]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Route:
    """Where requests go that are alike in all but the numbers of their inputs.

    request: one of them; what it asks of, and which outputs it wants. api, entrypoint: as what they are counted.
    """

    __slots__ = (
        "_api",
        "_engine",
        "_entrypoint",
        "_function",
        "_mold",
        "_request",
        "_servable",
        "_signature",
        "_tally",
    )

    def __init__(self, engine: Engine, request: InferRequest, api: str, entrypoint: str) -> None:
        self._engine = engine
        self._request = request
        self._api = api
        self._entrypoint = entrypoint
        self._servable: Servable | None = None

    def begin(self, inputs: Arrays, deadline: float | None, call: "DirectCall[Any]") -> bool:
        """Queues a request, whose answer `call` will get; False where it has to go the long way.

        deadline: on the clock of time.monotonic(); None for the server's own limit.
        """
        began = time.monotonic()
        limit = began + self._engine.timeout
        if deadline is not None and deadline < limit:
            limit = deadline
        if limit <= began:
            return False
        request = self._request
        try:
            servable = self._engine.servable(request.model, request.version, request.label)
            if servable is None or (servable is not self._servable and not self._fits(servable, inputs)):
                return False
            call.set_out(self, servable, self._function, began)
            call.job = self._function.begin(inputs, self._mold, limit, call)
        except ServingError:
            return False
        return True

    def _fits(self, servable: "Servable", inputs: Arrays) -> bool:
        """Whether this version takes such requests; prepares what is the same for all of them."""
        request = self._request
        signature = servable.metadata.signature(request.signature)
        if not all(name in signature.outputs for name in request.outputs):
            return False
        function = servable.function(signature.name)
        mold = function.mold(inputs)
        if mold is None:
            return False
        self._tally = self._engine.tally(request.model, self._api, self._entrypoint)
        self._signature, self._function, self._mold, self._servable = signature.name, function, mold, servable
        return True

    def result(self, servable: "Servable", outputs: Arrays) -> InferResult:
        """The answer, with the outputs that were asked for."""
        request = self._request
        if request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return InferResult(request.model, servable.version, self._signature, outputs)

    def answered(self, servable: "Servable", began: float, *, sent: bool) -> None:
        """Counts a request that the model has answered; sent: whether its caller got that."""
        seconds = time.monotonic() - began
        servable.statistics.succeeded(seconds, self._mold.reported)
        if sent:
            self._tally(seconds)
        else:
            self._engine.count_answered(self._request.model, self._api, seconds)

    def failed(self, servable: "Servable", began: float, code: Code) -> None:
        """Counts a request that got none."""
        seconds = time.monotonic() - began
        servable.statistics.failed(seconds)
        self._engine.count_failed(self._request.model, code, seconds)


class DirectCall(ABC, Generic[T]):
    """One request on the short way; what waits for its answer. To be made where its answer is written.

    Methods are called in the event loop.
    """

    __slots__ = ("_began", "_function", "_over", "_route", "_servable", "job")

    job: Job

    def set_out(self, route: Route, servable: "Servable", function: "Function", began: float) -> None:
        """It is about to be queued."""
        self._route = route
        self._servable = servable
        self._function = function
        self._began = began
        self._over = False

    @abstractmethod
    def write(self, result: InferResult) -> T:
        """The answer; of a large one in a thread. What this raises is given to `fail`."""

    @abstractmethod
    def send(self, answer: T) -> None:
        """Gives its caller the answer."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tells its caller why there is none."""

    @abstractmethod
    def ask_again(self) -> None:
        """Takes the long way after all: its model has turned out to be of another kind."""

    @abstractmethod
    def leave(self) -> None:
        """Called once, when it is over, however it ends."""

    # What a batcher asks of a waiter

    def done(self) -> bool:
        return self._over

    def set_result(self, outputs: Arrays) -> None:
        self._over = True
        self.leave()
        result = self._route.result(self._servable, outputs)
        if sum([array.nbytes for array in result.outputs.values()]) > LARGE_BYTES:
            writing = asyncio.get_running_loop().run_in_executor(None, self.write, result)
            writing.add_done_callback(self._written)
            sent = True
        else:
            sent = self._answer(result)
        self._route.answered(self._servable, self._began, sent=sent)

    def set_exception(self, error: BaseException) -> None:
        self._over = True
        self.leave()
        if isinstance(error, NotByRows):
            self._tell(lambda _: self.ask_again(), None)
            return
        self._route.failed(
            self._servable, self._began, error.code if isinstance(error, ServingError) else Code.INTERNAL
        )
        self.fail(error)

    def exception(self) -> None:
        return None

    def cancel(self, _: object = None) -> bool:
        """Its caller has gone."""
        if self._over:
            return False
        self._over = True
        self.leave()
        self._function.batcher.give_up(self.job)
        self._route.failed(self._servable, self._began, Code.CANCELLED)
        return True

    def _answer(self, result: InferResult) -> bool:
        """Gives its caller the answer, or the reason why it cannot be written."""
        try:
            answer = self.write(result)
        except Exception as error:
            self._tell(self.fail, error)
            return False
        self._tell(self.send, answer)
        return True

    def _written(self, writing: "asyncio.Future[T]") -> None:
        if writing.cancelled():
            return
        if (error := writing.exception()) is not None:
            self._tell(self.fail, error)
        else:
            self._tell(self.send, writing.result())

    def _tell(self, tell: Callable[[Any], None], what: Any) -> None:
        try:
            tell(what)
        except Exception:  # others of the batch still wait for theirs
            _log.exception("a caller could not be told its answer")
