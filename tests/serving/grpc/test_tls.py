"""TLS as ssl_config_file asks for it, with clients as their owners write them."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.grpc.server import Server
from serving.tfserving.config_files import parse_tls_config

from ..certificates import Authority, ssl_config


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def health(channel: grpc.aio.Channel) -> int:
    async with channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return answer.status


async def started(engine, config: str) -> tuple[Server, str]:
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"], tls=parse_tls_config(config))
    return server, f"localhost:{await server.start()}"


async def test_a_client_that_trusts_the_authority_is_answered_and_a_plain_one_is_not(engine, authority):
    server, address = await started(engine, ssl_config(authority.issue("server")))
    trust = grpc.ssl_channel_credentials(authority.certificate.encode())
    assert await health(grpc.aio.secure_channel(address, trust)) == health_pb2.HealthCheckResponse.SERVING
    for channel in (grpc.aio.insecure_channel(address), grpc.aio.secure_channel(address, strangers_trust())):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.drain(0)


async def test_client_verify_lets_in_only_who_has_a_certificate(engine, authority):
    config = ssl_config(authority.issue("server"), custom_ca=authority.certificate, client_verify="true")
    server, address = await started(engine, config)
    pair = authority.issue("client")
    root = authority.certificate.encode()
    known = grpc.ssl_channel_credentials(root, pair.key.encode(), pair.certificate.encode())
    assert await health(grpc.aio.secure_channel(address, known)) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError):
        await health(grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(root)))
    await server.drain(0)


def strangers_trust() -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(Authority().certificate.encode())
