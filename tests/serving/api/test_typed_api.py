"""The typed endpoints over HTTP: what is counted, and callers who do not wait."""

import asyncio
import socket

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Route

from serving.rest.http_server import HttpServer
from serving.typed_api import TypedApi

WEEK = [1, 2, 3, 4, 5, 6, 7]


@pytest_asyncio.fixture
async def client(engine):
    typed = TypedApi(engine, max_message_bytes=2**20, timeout=20)
    handlers = (typed.forecast, typed.classify_sketch, typed.classify_video)
    app = Starlette(routes=[Route(f"/{handler.__name__}", handler, methods=["POST"]) for handler in handlers])
    server = HttpServer(app)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await server.start(listening)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=False) as client:
        yield client
    await server.drain(1)


async def test_what_is_answered_is_left_for_the_engine_to_count(engine, client, clip):
    assert (await client.post("/forecast", json={"values": WEEK})).json()["mean"][0] == 8
    sketch = {"strokes": [[1, 1, 0], [1, 1, 1]]}
    assert (await client.post("/classify_sketch", json=sketch)).json()["classes"][0]["label"] == "cat"
    assert (await client.post("/classify_video", files={"video": clip()})).json()["classes"][0]["label"] == "cat"
    assert engine.refused == []


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/forecast", {"content": b"{"}, "forecaster"),
        ("/forecast", {"json": {"values": [1, "x"]}}, "forecaster"),
        ("/forecast", {"content": b" " * (2**20 + 1)}, "forecaster"),
        ("/classify_sketch", {"json": {"strokes": [[1, 1]]}}, "sketchrnn"),
        ("/classify_video", {"json": {}}, "video"),
        ("/classify_video", {"files": {"video": b"no clip"}}, "video"),
    ],
)
async def test_what_is_refused_before_the_engine_is_counted_once(engine, client, path, body, model):
    assert (await client.post(path, **body)).status_code == 400
    assert engine.refused == [(model, "INVALID_ARGUMENT")]
    assert engine.requests == []


@pytest.mark.parametrize("path", ["/forecast", "/classify_video"])
async def test_a_caller_who_hangs_up_cancels_the_work(engine, client, clip, path):
    engine.delay = 60
    body = {"files": {"video": clip()}} if path == "/classify_video" else {"json": {"values": WEEK}}
    with pytest.raises(httpx.ReadTimeout):
        await client.post(path, **body, timeout=httpx.Timeout(30, read=2))
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_a_caller_who_hangs_up_within_the_body_is_no_failure(engine, client, caplog):
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(b"POST /forecast HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    async with asyncio.timeout(5):
        while not engine.refused:
            await asyncio.sleep(0.01)
    assert engine.refused == [("forecaster", "CANCELLED")]
    assert "failed" not in caplog.text


async def test_slow_answers_are_given_all_the_same(engine, client):
    engine.delay = 0.3
    assert (await client.post("/forecast", json={"values": WEEK})).status_code == 200
