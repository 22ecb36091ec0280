"""The gRPC server: every service on one port, bounded messages, health, reflection and a graceful end."""

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection

from serving.control import Control
from serving.engine import Engine
from serving.grpc import health, model_service, oip, tfserving
from serving.grpc.calls import Methods, service_handler
from serving.grpc.gate import Gate
from serving.limits import MAX_CONCURRENT_REQUESTS, MAX_MESSAGE_BYTES
from serving.tfserving.config_files import TlsConfig

# Beyond so many times the requests that are worked on, gRPC itself refuses before it reads them. Its callers may then
# get CANCELLED, for its answer comes while they still send.
_HARD_LIMIT = 2
# What health and reflection may hold beside them.
_PROBES = 64


class Server:
    """Starts once, drains once.

    addresses: as gRPC takes them, "host:port" or "unix:path"; port 0 picks a free one.
    max_message_bytes: the largest request; a larger one is answered RESOURCE_EXHAUSTED by gRPC itself.
    max_concurrent_requests: how many are worked on at once, a stream counting as one; more are answered likewise.
    reuse_port: share the port with other processes (SO_REUSEPORT); the kernel spreads connections.
    tls: the credentials that every address has; None for plain connections.
    channel_arguments: gRPC's own, which win over those made here.
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
        options: dict[str, int | str] = {
            "grpc.max_receive_message_length": max_message_bytes,
            "grpc.max_send_message_length": -1,  # an answer is as large as its model makes it
            "grpc.so_reuseport": int(reuse_port),
        }
        self._options = tuple((options | dict(channel_arguments)).items())
        self._draining = False

    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return not self._draining and self._engine.ready()

    async def start(self) -> int:
        """Binds and serves; returns the port of the first address. Raises RuntimeError if it cannot bind."""
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
        # grpc.aio binds to the running loop when constructed, so not before here.
        self._server = grpc.aio.server(
            options=self._options, maximum_concurrent_rpcs=_HARD_LIMIT * self._max_concurrent_requests + _PROBES
        )
        gate = Gate(self._max_concurrent_requests)
        self._server.add_generic_rpc_handlers(
            [
                service_handler(name, methods, gate if name != health.SERVICE else None)
                for name, methods in services.items()
            ]
        )
        reflection.enable_server_reflection((*services, reflection.SERVICE_NAME), self._server)
        ports = [self._listen(address) for address in self._addresses]
        await self._server.start()
        return ports[0]

    def _listen(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials(
            [(self._tls.server_key, self._tls.server_cert)],
            root_certificates=self._tls.custom_ca or None,
            require_client_auth=self._tls.client_verify,
        )
        return self._server.add_secure_port(address, credentials)

    async def drain(self, grace: float) -> None:
        """Refuses new requests, answers those accepted, and ends; after `grace` seconds it cancels them."""
        self._draining = True
        self._health.close()
        self._inference.close()
        await self._server.stop(grace)
