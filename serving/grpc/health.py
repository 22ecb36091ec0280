"""grpc.health.v1, answered from what is true at the moment of asking."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from grpc_health.v1 import health_pb2

from serving.errors import NotFound
from serving.grpc.calls import Methods

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_POLL_SECONDS = 0.5


class Health:
    """Health of the server as a whole ("") and of each service by its full name."""

    def __init__(self, ready: Callable[[], bool], services: Collection[str]) -> None:
        self._ready = ready
        self._known = frozenset(services) | {""}
        self._closing = asyncio.Event()
        self.methods: Methods = {"Check": self.check, "Watch": self.watch}

    def close(self) -> None:
        """Sends watchers their last status and ends them: an open watch would hold up the server's drain."""
        self._closing.set()

    async def check(self, request: Any, _: float | None) -> Any:
        if request.service not in self._known:
            raise NotFound(f"unknown service {request.service!r}; expected one of {sorted(self._known)}")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def watch(self, request: Any, _: float | None) -> AsyncIterator[Any]:
        last = None
        while True:
            closing = self._closing.is_set()
            status = self._status(request.service)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if closing:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _POLL_SECONDS)

    def _status(self, service: str) -> int:
        response = health_pb2.HealthCheckResponse
        if service not in self._known:
            return int(response.SERVICE_UNKNOWN)
        return int(response.SERVING if self._ready() else response.NOT_SERVING)
