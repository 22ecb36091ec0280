"""Everything that a call may raise.

    SeqserveError
    ├── InvalidInput          the request can never succeed as it is; refused here or by the server
    ├── NotFound              no such model, version or output
    ├── FailedPrecondition    the model exists, but cannot do this now
    ├── Overloaded            the server's queue is full; `retry_after` seconds from now may be better
    ├── DeadlineExceeded      the call's time ran out
    ├── Unavailable           nobody answers, or the server is starting or stopping; retries are used up
    ├── Denied                the server, or a proxy before it, wants other credentials
    ├── Unsupported           the server does not know this call
    ├── Internal              the server failed
    └── BadAnswer             the answer is not of the form that was asked for
    MissingDependency         an optional package is needed for this

Each of the first group carries `message`, the server's own words where it gave any, and `code`, the canonical
status name (`INVALID_ARGUMENT`, …), whichever protocol carried it.
"""

from typing import ClassVar, Protocol

import grpc
import httpx


class SeqserveError(Exception):
    """Base of every error that a call may raise."""

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(SeqserveError):
    """The request can never succeed as it is."""

    code = "INVALID_ARGUMENT"


class NotFound(SeqserveError):
    """No such model, version or output."""

    code = "NOT_FOUND"


class FailedPrecondition(SeqserveError):
    """The model exists, but cannot do this now."""

    code = "FAILED_PRECONDITION"


class Overloaded(SeqserveError):
    """The server's queue is full. `retry_after` is its hint in seconds, where it gave one."""

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(SeqserveError):
    """The call's time ran out before an answer came."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(SeqserveError):
    """Nobody answers, or the server is starting or stopping. The only error that is retried."""

    code = "UNAVAILABLE"


class Denied(SeqserveError):
    """The server, or a proxy before it, wants other credentials."""

    code = "PERMISSION_DENIED"


class Unsupported(SeqserveError):
    """The server does not know this call."""

    code = "UNIMPLEMENTED"


class Internal(SeqserveError):
    """The server failed."""

    code = "INTERNAL"


class BadAnswer(SeqserveError):
    """The answer is not of the form that was asked for: another kind of model, or another server."""

    code = "DATA_LOSS"


class MissingDependency(ImportError):
    """An optional package is needed for this."""


_BY_STATUS: dict[grpc.StatusCode, type[SeqserveError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}

_BY_HTTP: dict[int, type[SeqserveError]] = {
    400: InvalidInput,
    401: Denied,
    403: Denied,
    404: NotFound,
    405: Unsupported,
    408: DeadlineExceeded,
    411: InvalidInput,
    412: FailedPrecondition,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
    429: Overloaded,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


_OVERSIZE = "larger than max"
"""gRPC gives a message over either side's limit the status of a full queue; only its words differ."""


class _Ended(Protocol):
    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...


def error_of_rpc(call: _Ended) -> SeqserveError:
    """The error for a gRPC call that ended with another status than OK."""
    status, details = call.code(), call.details()
    kind = _BY_STATUS.get(status)
    if kind is Overloaded and _OVERSIZE in (details or ""):
        kind = InvalidInput
    if kind is None:
        return Internal(f"{status.name}: {details}" if details else status.name)
    return kind(details or status.name)


def error_of_http(status: int, message: str, retry_after: float | None = None) -> SeqserveError:
    """The error for an HTTP status."""
    kind = _BY_HTTP.get(status, Internal)
    return Overloaded(message, retry_after) if kind is Overloaded else kind(message)


def error_of_transport(failure: httpx.TransportError) -> SeqserveError:
    """The error for an HTTP request that got no whole answer."""
    if isinstance(failure, httpx.TimeoutException):
        return DeadlineExceeded(f"no answer in time ({type(failure).__name__})")
    if isinstance(failure, httpx.NetworkError | httpx.RemoteProtocolError):
        return Unavailable(str(failure) or type(failure).__name__)
    return Internal(f"{type(failure).__name__}: {failure}")
