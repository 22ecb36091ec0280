"""A client that speaks HTTP/2 as it is told to, by hyper's h2, and as nobody should, byte by byte."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import pytest
import pytest_asyncio
from h2.settings import Settings

from serving.errors import InvalidInput
from serving.grpc.calls import Failure, StreamCall, UnaryCall
from serving.grpc.http2 import Limits, Listener

SECONDS = 10
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/toy/Echo"),
    (":authority", "toy"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
LIMITS = Limits(message_bytes=2**20, calls=8, window=2**16)


def message(payload: bytes, flag: int = 0) -> bytes:
    """With gRPC's prefix."""
    return struct.pack(">BI", flag, len(payload)) + payload


class Toy:
    """Echo answers what it is sent, Reversed each message backwards, Slow and Unread nothing."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.asked: list[bytes] = []

    @property
    def calls(self):
        return {
            "/toy/Echo": UnaryCall("/toy/Echo", self.echo),
            "/toy/Slow": UnaryCall("/toy/Slow", self.slow),
            "/toy/Wrong": UnaryCall("/toy/Wrong", self.wrong),
            "/toy/Reversed": StreamCall("/toy/Reversed", self.reversed),
            "/toy/Unread": StreamCall("/toy/Unread", self.unread),
        }

    async def echo(self, payload, _deadline):
        self.asked.append(payload)
        return payload

    async def slow(self, _payload, _deadline):
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def wrong(self, _payload, _deadline):
        raise Failure(InvalidInput.code.value, "100% wrong: ä\n")

    async def unread(self, _payloads, _deadline):
        await asyncio.sleep(60)
        yield b""

    async def reversed(self, payloads, _deadline):
        async for payload in payloads:
            yield payload[::-1]


class Answer:
    """What came on one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> str | None:
        return self.headers.get("grpc-status")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, bytes]] = []
        self.window_gives = True  # whether the client takes what it gets out of its windows
        self.closed = False

    async def greet(self, settings: dict | None = None) -> None:
        if settings:
            self.h2.local_settings = Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def ask(self, payload: bytes = b"hello", path: str = "/toy/Echo", more=(), **options) -> int:
        stream = await self.begin(path, more)
        await self.send(stream, message(payload), **options)
        return stream

    async def begin(self, path: str = "/toy/Echo", more=(), **options) -> int:
        stream = self.h2.get_next_available_stream_id()
        headers = [(name, path if name == ":path" else value) for name, value in HEADERS]
        self.h2.send_headers(stream, [*headers, *more], **options)
        self.answers[stream] = Answer()
        await self.flush()
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = True, padding: int | None = None) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            room -= padding + 1 if padding is not None else 0
            if room <= 0:
                await self.look()
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(stream, piece, end_stream=end and not data, pad_length=padding)
            await self.flush()

    async def look(self) -> bool:
        """Takes what has come; False when the server has closed."""
        data = await asyncio.wait_for(self.reader.read(2**16), SECONDS)
        self.closed = not data
        for event in self.h2.receive_data(data) if data else ():
            answer = self.answers.get(getattr(event, "stream_id", 0))
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                answer.headers |= dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                if self.window_gives:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                answer.ended = True
            elif isinstance(event, h2.events.StreamReset) and answer is not None:
                answer.reset = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaways.append((event.error_code, event.additional_data or b""))
        await self.flush()
        return not self.closed

    async def answer(self, stream: int) -> Answer:
        answer = self.answers[stream]
        while not answer.ended and answer.reset is None and await self.look():
            pass
        return answer

    async def until_closed(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self.look():
                pass


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest_asyncio.fixture
async def listener(toy) -> AsyncIterator[Listener]:
    listener = Listener(toy.calls, LIMITS, lambda: socket.create_server(("127.0.0.1", 0)))
    listener.port = await listener.start()
    yield listener
    await listener.drain(0)


@pytest_asyncio.fixture
async def connect(listener):
    """Opens raw connections."""
    writers = []

    async def open_one() -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", listener.port))
        writers.append(client.writer)
        return client

    yield open_one
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest_asyncio.fixture
async def client(connect) -> Client:
    client = await connect()
    await client.greet()
    return client
