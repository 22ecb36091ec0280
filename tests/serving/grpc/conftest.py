import grpc
import pytest_asyncio

from serving.grpc.server import Server


@pytest_asyncio.fixture
async def server(engine):
    server = Server(engine, engine.control, addresses=["127.0.0.1:0"], max_message_bytes=2**20)
    server.port = await server.start()
    yield server
    await server.drain(0)


@pytest_asyncio.fixture
async def channel(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
