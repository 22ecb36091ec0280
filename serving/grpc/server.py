"""The gRPC server: every service on one port, bounded messages, health, reflection and a graceful end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any

from grpc_reflection.v1alpha import reflection

from serving import ports
from serving.control import Control
from serving.engine import Engine
from serving.grpc import health, model_service, oip, tfserving
from serving.grpc.calls import Calls, Methods, StreamCall, UnaryCall, calls_of
from serving.grpc.core import CoreListener
from serving.grpc.gate import Gate
from serving.grpc.http2 import Limits, Listener
from serving.limits import MAX_CONCURRENT_REQUESTS, MAX_MESSAGE_BYTES
from serving.tfserving.config_files import TlsConfig

# Beyond so many times the requests that are worked on, calls are refused before they are read. Callers may then get
# CANCELLED, for the answer comes while they still send.
_HARD_LIMIT = 2
# What health and reflection may hold beside them.
_PROBES = 64
_UNBOUNDED = (health.SERVICE, reflection.SERVICE_NAME)


class Server:
    """Starts once, drains once.

    addresses: as gRPC takes them, "host:port" or "unix:path"; port 0 picks a free one.
    max_message_bytes: the largest request; a larger one is answered RESOURCE_EXHAUSTED.
    max_concurrent_requests: how many are worked on at once, a stream counting as one; more are answered likewise.
    reuse_port: share the port with other processes (SO_REUSEPORT); the kernel spreads connections.
    tls: the credentials that every address has; None for plain connections.
    channel_arguments: gRPC's own, which win over those made here. With them, with TLS and on Unix sockets gRPC's own
    server takes the connections; plain ones are taken here, which costs a third of the time.
    tensor_content: whether Predict answers numbers in `tensor_content`.
    allow_model_control: whether callers may load and unload models as Triton's clients do.
    """

    def __init__(
        self,
        engine: Engine,
        control: Control,
        *,
        addresses: Sequence[str],
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_concurrent_requests: int = MAX_CONCURRENT_REQUESTS,
        reuse_port: bool = False,
        tls: TlsConfig | None = None,
        channel_arguments: Sequence[tuple[str, int | str]] = (),
        allow_model_control: bool = False,
        tensor_content: bool = False,
    ) -> None:
        self._engine = engine
        self._control = control
        self._addresses = addresses
        self._max_message_bytes = max_message_bytes
        self._max_concurrent_requests = max_concurrent_requests
        self._tls = tls
        self._tensor_content = tensor_content
        self._allow_model_control = allow_model_control
        self._reuse_port = reuse_port
        self._channel_arguments = tuple(channel_arguments)
        self._draining = False

    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return not self._draining and self._engine.ready()

    async def start(self) -> int:
        """Binds and serves; returns the port of the first address. Raises OSError or RuntimeError if it cannot bind."""
        self._inference = oip.InferenceService(
            self._engine, self._control, ready=self.ready, allow_model_control=self._allow_model_control
        )
        services: dict[str, Methods] = {
            tfserving.SERVICE: tfserving.PredictionService(
                self._engine, max_message_bytes=self._max_message_bytes, tensor_content=self._tensor_content
            ).methods,
            model_service.SERVICE: model_service.ModelService(self._control).methods,
            oip.SERVICE: self._inference.methods,
        }
        self._health = health.Health(self.ready, services)
        services[health.SERVICE] = self._health.methods
        services[reflection.SERVICE_NAME] = reflection_methods((*services, reflection.SERVICE_NAME))
        gate = Gate(self._max_concurrent_requests)
        calls: dict[str, UnaryCall | StreamCall] = {}
        for name, methods in services.items():
            calls |= calls_of(name, methods, gate if name not in _UNBOUNDED else None)
        self._listeners = [self._listener(address, calls) for address in self._addresses]
        started = [await listener.start() for listener in self._listeners]
        return started[0]

    def _listener(self, address: str, calls: Calls) -> CoreListener | Listener:
        most_calls = _HARD_LIMIT * self._max_concurrent_requests + _PROBES
        if self._tls is None and not self._channel_arguments and not address.startswith("unix:"):
            host, _, port = address.rpartition(":")
            listen = partial(ports.listen, host.strip("[]"), int(port), share=self._reuse_port)
            return Listener(calls, Limits(self._max_message_bytes, most_calls), listen)
        options: dict[str, int | str] = {
            "grpc.max_receive_message_length": self._max_message_bytes,
            "grpc.max_send_message_length": -1,  # an answer is as large as its model makes it
            "grpc.so_reuseport": int(self._reuse_port),
        }
        options |= dict(self._channel_arguments)
        return CoreListener(calls, address, tls=self._tls, most_calls=most_calls, options=tuple(options.items()))

    async def drain(self, grace: float) -> None:
        """Refuses new requests, answers those accepted, and ends; after `grace` seconds it cancels them."""
        self._draining = True
        self._health.close()
        self._inference.close()
        await asyncio.gather(*[listener.drain(grace) for listener in self._listeners])


def reflection_methods(services: Iterable[str]) -> Methods:
    """What tells callers of these services, by gRPC's own package."""
    servicer = reflection.aio.ReflectionServicer(services)

    def info(requests: AsyncIterator[Any], _: float | None) -> AsyncIterator[Any]:
        answers: AsyncIterator[Any] = servicer.ServerReflectionInfo(requests, None)
        return answers

    return {"ServerReflectionInfo": info}
