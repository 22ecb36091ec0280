"""How many connections the bare server takes."""

import asyncio
import socket

import httpx
from starlette.responses import Response

from serving.rest.http_server import HttpServer


async def test_requests_over_the_limit_are_refused_and_later_ones_answered() -> None:
    release = asyncio.Event()

    async def app(scope, receive, send):
        await release.wait()
        await Response()(scope, receive, send)

    server = HttpServer(app, max_concurrent_requests=2)
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    await server.start(listening)
    async with httpx.AsyncClient(verify=False, headers={"connection": "close"}) as client:
        waiting = [asyncio.create_task(client.get(address)) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert (await client.get(address)).status_code == 503
        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert (await client.get(address)).status_code == 200
    await server.drain(1)
