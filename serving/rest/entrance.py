"""What every REST request passes through on its way in: it is named, timed and given a limit."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.entry import Entry


class Entrance:
    """An ASGI app in front of the REST app.

    timeout: seconds in which a request must be answered; None for the engine's own limit.
    """

    def __init__(self, app: ASGIApp, timeout: float | None = None) -> None:
        self._app = app
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = _api(scope.get("path", "")) if scope.get("method") == "POST" else ""
        if not api:
            await self._app(scope, receive, send)
            return
        with Entry(api, "REST", self._timeout):
            await self._app(scope, receive, send)


def _api(path: str) -> str:
    """`predict` of /v1/models/name:predict, `infer` of /v2/models/name/infer; empty for all that is no inference."""
    if path.startswith("/v1/models/"):
        return path.rpartition("/")[2].partition(":")[2]
    return "infer" if path.startswith("/v2/models/") and path.endswith("/infer") else ""
