"""Remembers where requests went: most of them go where the last ones did."""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.rest.endpoint import Endpoint

_MOST, _LONGEST = 1024, 256


class Shortcuts:
    """A Starlette app whose routes are looked through once for each method and path, not at each request.

    Endpoints behind a shortcut answer all errors themselves, for the app's own handlers do not stand around them.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self.routes = app.routes
        self._known: dict[tuple[str, str, str], tuple[ASGIApp, Mapping[str, Any]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key = scope["method"], scope.get("root_path", ""), scope["path"]
        found = self._known.get(key) or self._found(key, scope)
        if found is None:
            await self._app(scope, receive, send)
        else:
            endpoint, scope["path_params"] = found
            await endpoint(scope, receive, send)

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]] | None:
        """The endpoint behind a method and a path, and the parameters of the path."""
        scope: Scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        found = self._found((method, "", path), scope)
        return found if found is not None and isinstance(found[0], Endpoint) else None  # type: ignore[return-value]

    def _found(self, key: tuple[str, str, str], scope: Scope) -> tuple[ASGIApp, Mapping[str, Any]] | None:
        for route in self.routes:
            match, added = route.matches(scope)
            if match is Match.FULL:
                found = added["endpoint"], added["path_params"]
                if len(key[2]) < _LONGEST:
                    if len(self._known) >= _MOST:  # anybody can make up paths
                        self._known.clear()
                    self._known[key] = found
                return found
        return None
