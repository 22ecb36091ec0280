"""Unary calls on the short way: from a message that is known by its layout to a place in a batch, and to an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from serving.direct import Arrays, DirectCall, Route
from serving.engine import Engine, InferRequest, InferResult
from serving.grpc.gate import Gate
from serving.layouts import Layout, Layouts, Unlikely

PREFIX_BYTES: Final = 5
"""Of a message as it comes, before what was serialised."""


class Recipient(Protocol):
    """Who called, and gets one of the two; or is to take the long way after all."""

    def answered(self, message: bytes) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def ask_again(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a message asks for. id: what its answer is to repeat. route: where such messages go."""

    request: InferRequest
    route: Route
    id: str = ""

    @property
    def inputs(self) -> Arrays:
        return self.request.inputs

    def is_like(self, other: "Decoded") -> bool:
        return self.id == other.id and self.request.is_like(other.request)

    def forget_inputs(self) -> None:
        self.request.inputs = {}


Write = Callable[[InferResult, str], bytes]
"""Gets a result and the id to repeat; gives the serialised answer."""


class Direct:
    """The short way for one method.

    api: its name. decode: what a serialised request asks for, and the id that its answer repeats; raises ServingError,
    ValueError or Unlikely for what the long way is to look at. write: makes the answer.
    """

    def __init__(
        self, engine: Engine, api: str, decode: Callable[[bytes], tuple[InferRequest, str]], write: Write
    ) -> None:
        self._engine = engine
        self._api = api
        self._meaning = decode
        self._write = write
        self._layouts = Layouts(self._decoded)

    def begin(self, message: bytes, deadline: float | None, gate: Gate, recipient: Recipient) -> "Call | None":
        """Takes a call with an uncompressed message, as it came; None where it has to go the long way."""
        found = self._layouts.find(message)
        if found is None or not gate.try_enter():
            return None
        layout, inputs = found
        call = Call(layout, self._write, gate, recipient)
        taken = False
        try:
            taken = layout.asked.route.begin(inputs, deadline, call)
        finally:
            if not taken:
                gate.leave()
        return call if taken else None

    def _decoded(self, message: bytes) -> Decoded:
        try:
            request, told = self._meaning(message[PREFIX_BYTES:])
        except DecodeError:
            raise Unlikely from None
        return Decoded(request, Route(self._engine, request, self._api, "GRPC"), told)


class Call(DirectCall[bytes]):
    """One call on the short way."""

    __slots__ = ("_gate", "_layout", "_recipient", "_write")

    def __init__(self, layout: Layout[Decoded], write: Write, gate: Gate, recipient: Recipient) -> None:
        self._layout = layout
        self._write = write
        self._gate = gate
        self._recipient = recipient

    def write(self, result: InferResult) -> bytes:
        return self._write(result, self._layout.asked.id)

    def send(self, answer: bytes) -> None:
        self._recipient.answered(answer)

    def fail(self, error: BaseException) -> None:
        self._recipient.failed(error)

    def ask_again(self) -> None:
        self._recipient.ask_again()

    def leave(self) -> None:
        self._gate.leave()
