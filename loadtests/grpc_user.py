"""A Locust user that speaks gRPC: serialised messages in and out, one channel a user.

Importing this makes gRPC yield to gevent; Locust has patched the standard library by then.
"""

import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.experimental.gevent
from locust import User
from locust.env import Environment

grpc.experimental.gevent.init_gevent()

DEADLINE_SECONDS = 10.0
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Channels to one address would otherwise share one connection, and one worker of the server.
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcUser(User):
    """Calls one method with messages from a pool; each call is one row of Locust's statistics."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._channel = grpc.insecure_channel(environment.parsed_options.grpc_target, _OPTIONS)

    def on_stop(self) -> None:
        self._channel.close()

    def call(self, method: str, name: str, payload: bytes, check: Callable[[bytes], str | None]) -> None:
        """Send one message.

        method: the full path, /package.Service/Method.
        name: the row of statistics.
        check: says what is wrong with an answer, or None.
        """
        unary: Any = self._channel.unary_unary(method)
        failure: Exception | None = None
        response = b""
        begun = time.perf_counter()
        try:
            response = unary(payload, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            # Locust groups failures by their text, so the status goes first and the peer's address stays out.
            failure = RuntimeError(f"{error.code().name}: {error.details()}")
        milliseconds = (time.perf_counter() - begun) * 1000
        if failure is None and (wrong := check(response)) is not None:
            failure = ValueError(wrong)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=milliseconds,
            response_length=len(response),
            exception=failure,
            context=self.context(),
        )
