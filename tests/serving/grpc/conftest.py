import grpc
import pytest_asyncio

from serving.grpc.server import Server

# gRPC's own server takes over where any argument of its channels is given.
KINDS = {"own": (), "core": (("grpc.max_metadata_size", 16384),)}


@pytest_asyncio.fixture(params=KINDS)
async def server(engine, request):
    """Either of what can take connections: all that a caller sees of both is the same."""
    arguments = KINDS[request.param]
    server = Server(
        engine, engine.control, addresses=["127.0.0.1:0"], max_message_bytes=2**20, channel_arguments=arguments
    )
    server.port = await server.start()
    yield server
    await server.drain(0)


@pytest_asyncio.fixture
async def channel(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
