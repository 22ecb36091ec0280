"""The short way through the engine, for requests like others before: no coroutine, no task, and no check made twice.

It takes what needs nothing but a place in a batch. All else, and whatever is wrong with a request, is left to
`Engine.infer`, which says so in the right words: the short way only ever declines.
"""

import asyncio
import logging
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from serving.engine import Engine, InferRequest, InferResult
from serving.errors import Code, ServingError, Unavailable
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
        self._servable: weakref.ref[Servable] | None = None  # which may go while nobody asks

    def begin(
        self, inputs: Arrays, deadline: float | None, call: "DirectCall[Any]", timeout: float | None = None
    ) -> bool:
        """Queues a request, whose answer `call` will get; False where it has to go the long way.

        deadline: the caller's, on the clock of time.monotonic(). timeout: the server's own limit, in seconds; None
        for the engine's.
        """
        began = time.monotonic()
        limit = began + (self._engine.timeout if timeout is None else timeout)
        if deadline is not None and deadline < limit:
            limit = deadline
        if limit <= began:
            return False
        request = self._request
        try:
            servable = self._engine.servable(request.model, request.version, request.label)
            known = self._servable is not None and self._servable() is servable
            if servable is None or (not known and not self._fits(servable, inputs)):
                return False
            function = servable.function(self._signature)
            call.set_out(self, servable, function, began)
            call.job = function.begin(inputs, self._mold, limit, call)
        except ServingError:
            return False
        return True

    def _fits(self, servable: "Servable", inputs: Arrays) -> bool:
        """Whether this version takes such requests; prepares what is the same for all of them."""
        request = self._request
        signature = servable.metadata.signature(request.signature)
        if not all(name in signature.outputs for name in request.outputs):
            return False
        mold = servable.function(signature.name).mold(inputs)
        if mold is None:
            return False
        self._tally = self._engine.tally(request.model, self._api, self._entrypoint)
        self._signature, self._mold, self._servable = signature.name, mold, weakref.ref(servable)
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

    __slots__ = ("_began", "_function", "_gone", "_over", "_route", "_servable", "_writing", "job")

    job: Job

    def set_out(self, route: Route, servable: "Servable", function: "Function", began: float) -> None:
        """It is about to be queued."""
        self._route = route
        self._servable = servable
        self._function = function
        self._began = began
        self._over = False  # whether it has what it waited for, or wants it no more
        self._gone = False
        self._writing: asyncio.Future[T] | None = None

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
        result = self._route.result(self._servable, outputs)
        if sum([array.nbytes for array in result.outputs.values()]) > LARGE_BYTES:
            self._writing = asyncio.get_running_loop().run_in_executor(None, self.write, result)
            self._writing.add_done_callback(self._written)
            return
        self.leave()
        try:
            answer = self.write(result)
        except Exception as error:
            self._end(self.fail, error, sent=False)
        else:
            self._end(self.send, answer, sent=True)

    def set_exception(self, error: BaseException) -> None:
        self._over = True
        self._function.batcher.give_up(self.job)
        self.leave()
        if isinstance(error, NotByRows):
            _told(self.ask_again)
            return
        code = error.code if isinstance(error, ServingError) else Code.INTERNAL
        self._route.failed(self._servable, self._began, code)
        _told(self.fail, error)

    def exception(self) -> None:
        return None

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002, which a task takes, too
        """Its caller has gone."""
        if self._gone or (self._over and self._writing is None):
            return False
        self._gone = True
        if self._over:  # the answer is being written, and will be thrown away
            return True
        self._over = True
        self.leave()
        self._function.batcher.give_up(self.job)
        self._route.failed(self._servable, self._began, Code.CANCELLED)
        return True

    def _written(self, writing: "asyncio.Future[T]") -> None:
        """A large answer has been written in a thread."""
        self._writing = None
        self.leave()
        error = Unavailable("the server is stopping") if writing.cancelled() else writing.exception()
        if self._gone:
            self._route.answered(self._servable, self._began, sent=False)
        elif error is not None:
            self._end(self.fail, error, sent=False)
        else:
            self._end(self.send, writing.result(), sent=True)

    def _end(self, tell: Callable[[Any], None], what: object, *, sent: bool) -> None:
        _told(tell, what)
        self._route.answered(self._servable, self._began, sent=sent)


def _told(tell: Callable[..., None], *what: object) -> None:
    """Tells a caller what it waits for; what goes wrong there must not cost others of its batch their answers."""
    try:
        tell(*what)
    except Exception:
        _log.exception("a caller could not be told its answer")
