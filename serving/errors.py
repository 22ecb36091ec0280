"""Everything that can go wrong with a request, in the terms of the server and not of a protocol.

    ServingError
    ├── InvalidInput          the request can never succeed as it is
    ├── NotFound              no such model, version, label or signature
    │   └── UnknownServable   no such model or version
    ├── FailedPrecondition    it exists, but not in a state to do this
    ├── Overloaded            the queue is full; try again later
    ├── DeadlineExceeded      its time ran out before an answer was ready
    ├── Unimplemented         a thing that the protocol knows and this server does not do
    ├── Unavailable           the server is starting or stopping
    ├── NotLoaded             models that should serve now did not load
    └── Internal              the model itself failed

Each class has one canonical code; a front end translates the code once into its protocol's own form.
Messages say what was expected and what was received. They go to callers as they are: no paths, no stacks.
"""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar


class Code(Enum):
    """Canonical status codes and their numbers, as in google.rpc.Code."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class ServingError(Exception):
    """Base of every error that a caller may see."""

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(ServingError):
    """The request can never succeed as it is."""

    code = Code.INVALID_ARGUMENT


class NotFound(ServingError):
    """No such model, version, label or signature."""

    code = Code.NOT_FOUND


class UnknownServable(NotFound):
    """No such model, or no such version of it."""


class FailedPrecondition(ServingError):
    """The thing asked for exists, but not in a state to do this."""

    code = Code.FAILED_PRECONDITION


class Overloaded(ServingError):
    """The queue is full. `retry_after` is a hint in seconds."""

    code = Code.RESOURCE_EXHAUSTED

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServingError):
    """The caller's time ran out before an answer was ready."""

    code = Code.DEADLINE_EXCEEDED


class Unimplemented(ServingError):
    """A thing that the protocol knows and this server does not do."""

    code = Code.UNIMPLEMENTED


class Unavailable(ServingError):
    """The server is starting or stopping; another replica, or a later try, will do."""

    code = Code.UNAVAILABLE


class NotLoaded(ServingError):
    """Models that should serve from now on did not load; TF Serving has no better code for it either."""

    code = Code.UNKNOWN


class Internal(ServingError):
    """The model itself failed on an input that its signature allows."""

    code = Code.INTERNAL


_CLASSES: Mapping[Code, type[ServingError]] = {
    kind.code: kind
    for kind in (
        InvalidInput,
        NotFound,
        FailedPrecondition,
        Overloaded,
        DeadlineExceeded,
        Unavailable,
        NotLoaded,
        Internal,
    )
}


def error_of(code: Code, message: str) -> ServingError:
    """The error of a code, as another process reported it."""
    return _CLASSES.get(code, Internal)(message)
