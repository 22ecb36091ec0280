"""What every REST request passes through on its way in: it is named, timed and given a limit."""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.entry import Entry
from serving.rest.direct import Pending, Recipient
from serving.rest.express import Direct
from serving.rest.shortcuts import Shortcuts


class Entrance:
    """An ASGI app in front of the REST app, and the way past ASGI.

    timeout: seconds in which a request must be answered; None for the engine's own limit.
    """

    def __init__(self, app: Shortcuts, timeout: float | None = None) -> None:
        self._app = app
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = _api(scope.get("path", "")) if scope.get("method") == "POST" else ""
        if not api:
            await self._app(scope, receive, send)
            return
        with Entry(api, "REST", self._timeout):
            await self._app(scope, receive, send)

    def find(self, method: str, path: str) -> Direct | None:
        """What answers an inference that has come whole; None for all else."""
        api = _api(path) if method == "POST" else ""
        found = self._app.find(method, path) if api else None
        if found is None:
            return None
        endpoint, parameters = found

        async def answer(headers: Mapping[str, str], body: bytes) -> Response:
            with Entry(api, "REST", self._timeout):
                return await endpoint.answer(path, parameters, headers, body)

        def begin(headers: Mapping[str, str], body: bytes, recipient: Recipient) -> Pending | None:
            return endpoint.begin(parameters, headers, body, self._timeout, recipient)

        return Direct(answer, begin)


def _api(path: str) -> str:
    """`predict` of /v1/models/name:predict, `infer` of /v2/models/name/infer; empty for all that is no inference."""
    if path.startswith("/v1/models/"):
        return path.rpartition("/")[2].partition(":")[2]
    return "infer" if path.startswith("/v2/models/") and path.endswith("/infer") else ""
