"""The one place where errors become HTTP answers: a status and {"error": message}."""

import math

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import Code, Overloaded, ServingError

_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNKNOWN: 500,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
_MAX_QUOTED = 500


class HttpError(ServingError):
    """A refusal that only HTTP has a status for: a body too large, or in an encoding not taken."""

    code = Code.INVALID_ARGUMENT

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BodyTooSlow(HttpError):
    """The body was not complete in time."""

    code = Code.DEADLINE_EXCEEDED

    def __init__(self, message: str) -> None:
        super().__init__(408, message)


def error_response(error: ServingError) -> Response:
    """The answer to a request that was refused or failed."""
    if isinstance(error, HttpError):
        return error_body(error.status, error.message)
    headers = {"retry-after": str(math.ceil(error.retry_after))} if isinstance(error, Overloaded) else None
    return error_body(_STATUS[error.code], error.message, headers)


def error_body(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    # Messages may quote what came, and what came may hold half a surrogate pair.
    text = message.encode(errors="replace").decode()
    return Response(orjson.dumps({"error": text}), status, headers, "application/json")


async def routing_error(request: Request, error: Exception) -> Response:
    """No such path, or not with this method; Starlette raises these while routing."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.lower().startswith("/v1/"):  # TF Serving's answer to whatever it cannot make out
        return error_body(400, f"Malformed request: {request.method} {path[:_MAX_QUOTED]}")
    asked = f"{request.method} {request.url.path[:_MAX_QUOTED]}"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return error_body(405, f"expected {headers.get('Allow')}, got {asked}", headers)
    return error_body(error.status_code, f"there is nothing at this address: {asked}", headers)
