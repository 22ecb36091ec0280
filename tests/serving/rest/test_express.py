"""The lane beside uvicorn: which requests take it, and that nobody can tell by the answers."""

import asyncio
import contextlib
import gc
import socket
from types import SimpleNamespace

import pytest
import pytest_asyncio

from serving.rest import express
from serving.rest.app import build_app
from serving.rest.entrance import Entrance
from serving.rest.express import Direct
from serving.rest.http_server import HttpServer

BODY = b'{"instances": [[1, 2, 3]]}'
PATH = "/v1/models/sum:predict"


def request(body: bytes = BODY, path: str = PATH, more: str = "", method: str = "POST", version: str = "1.1") -> bytes:
    head = f"{method} {path} HTTP/{version}\r\nhost: here\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


class Client:
    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", 0))), 10)
        return int(line.split()[1]), headers, body

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


@pytest_asyncio.fixture
async def lane(engine):
    """A server, the requests that went past ASGI and those that did not, and a way to connect."""
    app = Entrance(build_app(engine, engine.control, max_message_bytes=2**22, body_timeout=0.3))
    lane = SimpleNamespace(direct=[], short=[], asgi=[])

    async def noted(scope, receive, send):
        lane.asgi.append(scope["path"])
        await app(scope, receive, send)

    def find(method, path):
        found = app.find(method, path)

        async def answer(headers, body):
            lane.direct.append(path)
            return await found.answer(headers, body)

        def begin(headers, body, recipient):
            pending = found.begin(headers, body, recipient)
            if pending is not None:
                lane.direct.append(path)
                lane.short.append(path)
            return pending

        return Direct(answer, begin) if found is not None else None

    server = HttpServer(noted, find=find, max_concurrent_requests=3)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await server.start(listening)
    writers = []

    async def connect() -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return Client(reader, writer)

    lane.connect, lane.server = connect, server
    yield lane
    for writer in writers:
        writer.close()
    await server.drain(1)


async def test_a_plain_inference_takes_the_lane_and_is_answered_as_by_the_app(lane):
    client = await lane.connect()
    client.send(request())
    status, headers, body = await client.answer()
    client.send(request(more="expect: nothing\r\n"))
    assert (await client.answer())[0] == status == 200
    assert body == b'{"predictions":[6.0]}'
    assert lane.direct == [PATH]
    assert lane.asgi == [PATH]
    client = await lane.connect()
    client.send(request(version="1.0", more="connection: keep-alive\r\n"))
    slow_status, slow_headers, slow_body = await client.answer()
    assert (slow_status, slow_body) == (status, body)
    assert {name: value for name, value in slow_headers.items() if name != "connection"}.keys() == headers.keys()


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_request_in_pieces_is_one_request(lane, size):
    client = await lane.connect()
    sent = request() + request()
    for start in range(0, len(sent), size):
        client.send(sent[start : start + size])
        await asyncio.sleep(0.001)
    for _ in range(2):
        assert (await client.answer())[2] == b'{"predictions":[6.0]}'
    assert lane.direct == [PATH, PATH]


async def test_requests_in_a_row_are_answered_in_their_order(lane):
    client = await lane.connect()
    wanted = []
    for number in range(10):
        client.send(request(b'{"instances": [[%d]]}' % number) + request(b"", "/v1/models/sum", method="GET"))
        wanted += [b'{"predictions":[%d.0]}' % number, b"model_version_status"]
    for part in wanted:
        assert part in (await client.answer())[2]
    assert len(lane.direct) == len(lane.asgi) == 10


async def test_what_uvicorn_has_taken_does_not_overtake(lane, engine):
    """A slow request that uvicorn works on, with a quick one behind it for the lane."""
    engine.delay = 0.3
    client = await lane.connect()
    client.send(request(more="accept-encoding: gzip\r\n", path="/v1/models/sum/versions/1:predict"))
    client.send(request(b"", "/v2/health/live", method="GET") + request(b"[]"))
    assert [(await client.answer())[0] for _ in range(3)] == [200, 200, 400]


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [(b"{", "", 400), (BODY, "content-encoding: br\r\n", 415), (b'{"instances": [["a"]]}', "", 400)],
)
async def test_errors_are_the_apps(lane, body, more, status):
    client = await lane.connect()
    client.send(request(body, more=more) + request())
    answer = await client.answer()
    assert answer[0] == status
    assert answer[2].startswith(b'{"error":')
    assert (await client.answer())[0] == 200
    assert len(lane.direct) == 2


async def test_an_upgrade_that_is_offered_is_ignored(lane):
    client = await lane.connect()
    client.send(request(more="connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n"))
    assert (await client.answer())[2] == b'{"predictions":[6.0]}'
    assert lane.direct == [PATH]


@pytest.mark.parametrize(
    "sent",
    [
        request(more="transfer-encoding: chunked\r\n")
        .replace(b"content-length: 26\r\n", b"")
        .replace(BODY, b"1a\r\n" + BODY + b"\r\n0\r\n\r\n"),
        request(more="expect: 100-continue\r\n"),
        request(more="connection: close\r\n"),
        request(version="1.0"),
        request(BODY + b" " * 2**20),
    ],
    ids=["chunked", "expecting", "closing", "old", "large"],
)
async def test_what_is_framed_in_another_way_goes_to_uvicorn(lane, sent):
    client = await lane.connect()
    client.send(sent)
    status, _, body = await client.answer()
    if status == 100:
        status, _, body = await client.answer()
    assert (status, body) == (200, b'{"predictions":[6.0]}')
    assert lane.direct == []


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", request().replace(b"HTTP/1.1", b"HTTP/7.7")])
async def test_what_is_no_request_is_refused_and_the_connection_ends(lane, sent):
    client = await lane.connect()
    client.send(sent)
    assert (await client.answer())[0] == 400
    assert await client.ended()


@pytest.mark.parametrize("more", ["content-length: 5\r\n", "content-length: -1\r\n", "transfer-encoding: gzip\r\n"])
async def test_lengths_that_contradict_each_other_smuggle_nothing(lane, more):
    client = await lane.connect()
    client.send(request(more=more) + request())
    assert (await client.answer())[0] == 400
    assert await client.ended()
    assert lane.direct == []


async def test_the_rest_of_a_body_may_be_late_but_not_for_ever(lane, monkeypatch):
    monkeypatch.setattr(express, "_REST_SECONDS", 0.1)
    client = await lane.connect()
    client.send(request()[:-5])
    assert (await client.answer())[0] == 408
    client = await lane.connect()
    client.send(request()[:-5])
    await asyncio.sleep(0.2)
    client.send(request()[-5:])
    assert (await client.answer())[0] == 200


async def test_a_caller_who_goes_cancels_the_work(lane, engine):
    engine.delay = 60
    client = await lane.connect()
    client.send(request())
    await engine.begun()
    client.writer.transport.abort()
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_connections_over_the_limit_are_refused(lane):
    clients = [await lane.connect() for _ in range(4)]
    await asyncio.sleep(0.1)
    clients[-1].send(request())
    assert (await clients[-1].answer())[0] == 503


async def test_who_is_idle_is_sent_away_and_who_waits_is_not(engine, monkeypatch):
    monkeypatch.setattr(express, "IDLE_SECONDS", 0.2)
    app = Entrance(build_app(engine, engine.control))
    server = HttpServer(app, find=app.find)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    engine.delay = 0.5
    waiting, idle = [Client(*await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])) for _ in range(2)]
    waiting.send(request())
    assert await idle.ended()
    assert (await waiting.answer())[0] == 200
    assert await waiting.ended()
    for client in (waiting, idle):
        client.writer.close()
    await server.drain(1)


async def test_a_server_that_leaves_answers_and_says_goodbye(lane, engine):
    engine.delay = 0.3
    working, idle = await lane.connect(), await lane.connect()
    working.send(request())
    await engine.begun()
    draining = asyncio.create_task(lane.server.drain(5))
    assert await idle.ended()
    status, headers, _ = await working.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await working.ended()
    await asyncio.wait_for(draining, 5)


async def test_a_request_that_drips_in_has_no_more_time_than_another(lane, monkeypatch):
    monkeypatch.setattr(express, "_REST_SECONDS", 0.2)
    client = await lane.connect()
    client.send(request()[:-10])
    for byte in request()[-10:]:
        await asyncio.sleep(0.1)
        client.send(bytes((byte,)))
        if lane.asgi:
            break
    assert lane.asgi, "it should be uvicorn's by now"
    assert (await client.answer())[0] == 408


async def test_who_asks_without_reading_is_not_listened_to_for_ever(lane, engine):
    client = await lane.connect()
    client.writer.transport.pause_reading()
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            for _ in range(2000):
                client.send(request() * 1000)
                await client.writer.drain()
                sent += 1
    assert sent < 2000
    waiting = [len(object_._waiting) for object_ in gc.get_objects() if isinstance(object_, express.Express)]
    assert 0 < max(waiting) < 2**20  # those of other tests may be among them
    assert len(engine.requests) < 200_000


async def test_connections_that_were_reset_leave_nothing_behind(lane):
    for _ in range(5):
        client = await lane.connect()
        client.send(request(b"", "/v1/models/sum", method="GET"))
        await client.answer()
        client.writer.transport.abort()
        del client
    async with asyncio.timeout(5):
        while any(isinstance(object_, express.Express) for object_ in gc.get_objects()):
            await asyncio.sleep(0.05)
            gc.collect()
