"""REST inferences on the short way, for bodies like others before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import orjson
from starlette.responses import Response

from serving.direct import Arrays, DirectCall, Route
from serving.engine import Engine, InferRequest, InferResult
from serving.errors import ServingError
from serving.layouts import Layouts, Unlikely
from serving.rest.compression import compress_now
from serving.rest.endpoint import Call, failed

_MOST_ROUTES = 1024
_NUMBER_BYTES = 8


class Recipient(Protocol):
    """Who gets the answer; or is to take the long way after all."""

    def respond(self, response: Response) -> None: ...

    def ask_again(self) -> None: ...


Write = Callable[[InferResult], Response]


class Pending(DirectCall[Response]):
    """One request on the short way.

    write: makes the answer. accept_encoding: how it may be compressed, as the caller put it.
    """

    __slots__ = ("_accept_encoding", "_recipient", "_write")

    def __init__(self, write: Write, accept_encoding: str | None, recipient: Recipient) -> None:
        self._write = write
        self._accept_encoding = accept_encoding
        self._recipient = recipient

    def write(self, result: InferResult) -> Response:
        response = self._write(result)
        if self._accept_encoding is not None:
            compress_now(response, self._accept_encoding)
        return response

    def send(self, answer: Response) -> None:
        self._recipient.respond(answer)

    def fail(self, error: BaseException) -> None:
        self._recipient.respond(failed(error))

    def ask_again(self) -> None:
        self._recipient.ask_again()

    def leave(self) -> None:
        pass


class Shortcut(Protocol):
    """What may take a request directly; None where it has to go the long way.

    timeout: seconds in which it must be answered; None for the engine's own limit.
    """

    def begin(self, call: Call, timeout: float | None, recipient: Recipient) -> Pending | None: ...


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a body asks for, and how its caller wants the answer."""

    request: InferRequest
    write: Write


class ByContent:
    """For bodies that are looked into each time, such as JSON: what is known is where they go.

    api: as what they are counted. parse: what a request asks for; raises ServingError or Unlikely for what the long way
    is to look at.
    """

    def __init__(self, engine: Engine, api: str, parse: Callable[[Call], Parsed]) -> None:
        self._engine = engine
        self._api = api
        self._parse = parse
        self._routes: dict[object, Route] = {}

    def begin(self, call: Call, timeout: float | None, recipient: Recipient) -> Pending | None:
        try:
            parsed = self._parse(call)
        except (ServingError, Unlikely, orjson.JSONDecodeError):
            return None
        request = parsed.request
        key: list[object] = [request.model, request.version, request.label, request.signature, request.outputs]
        for name, array in request.inputs.items():
            key += (name, array.dtype, array.shape)
        route = self._routes.get(tuple(key))
        if route is None:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            template = InferRequest(
                request.model, {}, request.version, request.label, request.signature, request.outputs
            )
            route = self._routes[tuple(key)] = Route(self._engine, template, self._api, "REST")
        pending = Pending(parsed.write, call.headers.get("accept-encoding"), recipient)
        return pending if route.begin(request.inputs, None, pending, timeout) else None


@dataclass(frozen=True, slots=True)
class _Known:
    """A body whose layout is known. told: what decides how the answer is written."""

    request: InferRequest
    told: object
    write: Write
    route: Route

    @property
    def inputs(self) -> Arrays:
        return self.request.inputs

    def is_like(self, other: "_Known") -> bool:
        return self.told == other.told and self.request.is_like(other.request)

    def forget_inputs(self) -> None:
        self.request.inputs = {}


class ByLayout:
    """For bodies that hold numbers as they are in memory: nothing else is looked into once their layout is known.

    parse: what a call asks for, and what decides how its answer is written; raises as that of `ByContent` does.
    headers: those that say how a body is to be read.
    """

    def __init__(
        self, engine: Engine, api: str, parse: Callable[[Call], tuple[Parsed, object]], headers: Sequence[str]
    ) -> None:
        self._engine = engine
        self._api = api
        self._parse = parse
        self._headers = headers
        # What comes before a body counts as a part of it; a number stands for it, which is never given twice.
        self._numbers: dict[object, bytes] = {}
        self._before: dict[bytes, tuple[Mapping[str, str], Mapping[str, str]]] = {}
        self._count = count()
        self._layouts = Layouts(self._known)

    def begin(self, call: Call, timeout: float | None, recipient: Recipient) -> Pending | None:
        told = [call.headers.get(name) for name in self._headers]
        number = self._numbers.get((*call.path.items(), *told)) or self._numbered(call.path, told)
        found = self._layouts.find(number + call.body)
        if found is None:
            return None
        layout, inputs = found
        pending = Pending(layout.asked.write, call.headers.get("accept-encoding"), recipient)
        return pending if layout.asked.route.begin(inputs, None, pending, timeout) else None

    def _numbered(self, path: Mapping[str, str], told: Sequence[str | None]) -> bytes:
        if len(self._numbers) >= _MOST_ROUTES:  # anybody can make up paths and headers
            self._numbers.clear()
            self._before.clear()
        number = self._numbers[(*path.items(), *told)] = next(self._count).to_bytes(_NUMBER_BYTES)
        headers = {name: value for name, value in zip(self._headers, told, strict=True) if value is not None}
        self._before[number] = path, headers
        return number

    def _known(self, message: bytes) -> _Known:
        path, headers = self._before[message[:_NUMBER_BYTES]]
        try:
            parsed, told = self._parse(Call(path, message[_NUMBER_BYTES:], headers))
        except orjson.JSONDecodeError:
            raise Unlikely from None
        return _Known(parsed.request, told, parsed.write, Route(self._engine, parsed.request, self._api, "REST"))
