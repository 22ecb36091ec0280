"""Web pages from anywhere as callers, in TF Serving's way: every answer says so, whoever asks."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHOD = b"access-control-request-method"


class CallableFromAnywhere:
    """Lets browsers send an app GET and POST from any page; answers OPTIONS itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Inference-Header-Content-Length"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = {name for name, _ in scope["headers"]}
            # What browsers say, and other callers may leave out.
            assumed = [] if b"origin" in names else [(b"origin", b"null")]
            if scope["method"] == "OPTIONS" and _METHOD not in names:
                assumed.append((_METHOD, b"POST"))
            scope = {**scope, "headers": [*scope["headers"], *assumed]}
        await self._app(scope, receive, send)
