import asyncio
import socket

import httpx
import pytest_asyncio
import uvicorn

from serving.rest.app import build_app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served():
    """Serves an ASGI app on a free port; returns its address."""
    running = []

    async def serve(app, **options) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_keep_alive=75, **options)
        server = uvicorn.Server(config)
        running.append((server, asyncio.create_task(server.serve([listening]))))
        while not server.started:
            await asyncio.sleep(0.01)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    for server, task in running:
        server.should_exit = True
        server.force_exit = True
        await task


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(module_engine, served):
    address = await served(build_app(module_engine, module_engine.control, max_message_bytes=2**20))
    # There is no TLS here to verify, and reading the certificates takes longer than most of these tests.
    async with httpx.AsyncClient(base_url=address, timeout=30, verify=False) as client:
        yield client
