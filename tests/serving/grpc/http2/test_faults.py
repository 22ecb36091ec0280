"""Clients that break the protocol: each is told how, and ends nobody else's calls."""

import asyncio
import struct
import time

import pytest
from h2.settings import SettingCodes

from serving.grpc.http2 import connection
from serving.grpc.http2.frames import PREFACE, Fault, frame, frame_head

from .conftest import LIMITS, message

HEADERS_OF_A_CALL = bytes.fromhex("8386")  # :method POST, :scheme http
PATH = b"\x04\x09/toy/Slow"
TYPE = b"\x0f\x10\x10application/grpc"
CALL = HEADERS_OF_A_CALL + PATH + TYPE


def begun(stream: int) -> bytes:
    return frame(1, 4, stream, CALL)


ENDING = {
    "a frame before the settings": (None, frame(6, 0, 0, bytes(8)), Fault.PROTOCOL_ERROR),
    "headers in too large a frame": (frame(4, 0, 0), frame_head(2**15, 1, 4, 1), Fault.FRAME_SIZE_ERROR),
    "a frame that is too large": (frame(4, 0, 0), frame_head(2**21, 0, 0, 1), Fault.FRAME_SIZE_ERROR),
    "data of a stream that is idle": (frame(4, 0, 0), frame(0, 0, 1, b"data"), Fault.PROTOCOL_ERROR),
    "data of no stream": (frame(4, 0, 0), frame(0, 0, 0, b"data"), Fault.PROTOCOL_ERROR),
    "headers of an even stream": (frame(4, 0, 0), begun(2), Fault.PROTOCOL_ERROR),
    "headers that do not decode": (frame(4, 0, 0), frame(1, 4, 1, b"\xff\xff\xff\xff\xff"), Fault.COMPRESSION_ERROR),
    "headers that index nothing": (frame(4, 0, 0), frame(1, 4, 1, b"\xfe"), Fault.COMPRESSION_ERROR),
    "headers without their rest": (
        frame(4, 0, 0),
        frame(1, 0, 1, CALL) + frame(6, 0, 0, bytes(8)),
        Fault.PROTOCOL_ERROR,
    ),
    "headers without end": (
        frame(4, 0, 0),
        frame(1, 0, 1, CALL) + frame(9, 0, 1, bytes(9000)) * 3,
        Fault.ENHANCE_YOUR_CALM,
    ),
    "a continuation of nothing": (frame(4, 0, 0), frame(9, 4, 1, CALL), Fault.PROTOCOL_ERROR),
    "padding longer than its frame": (frame(4, 0, 0), begun(1) + frame(0, 8, 1, b"\x05abc"), Fault.PROTOCOL_ERROR),
    "settings of a stream": (frame(4, 0, 0), frame(4, 0, 1), Fault.PROTOCOL_ERROR),
    "settings of five bytes": (frame(4, 0, 0), frame(4, 0, 0, bytes(5)), Fault.FRAME_SIZE_ERROR),
    "an acknowledgement with settings": (frame(4, 0, 0), frame(4, 1, 0, bytes(6)), Fault.FRAME_SIZE_ERROR),
    "a first window beyond all": (
        frame(4, 0, 0),
        frame(4, 0, 0, struct.pack(">HI", 4, 2**31)),
        Fault.FLOW_CONTROL_ERROR,
    ),
    "frames smaller than allowed": (frame(4, 0, 0), frame(4, 0, 0, struct.pack(">HI", 5, 100)), Fault.PROTOCOL_ERROR),
    "a push of neither": (frame(4, 0, 0), frame(4, 0, 0, struct.pack(">HI", 2, 2)), Fault.PROTOCOL_ERROR),
    "a promise": (frame(4, 0, 0), frame(5, 4, 1, bytes(4)), Fault.PROTOCOL_ERROR),
    "a ping of seven bytes": (frame(4, 0, 0), frame(6, 0, 0, bytes(7)), Fault.FRAME_SIZE_ERROR),
    "a ping of a stream": (frame(4, 0, 0), frame(6, 0, 1, bytes(8)), Fault.PROTOCOL_ERROR),
    "a reset of an idle stream": (frame(4, 0, 0), frame(3, 0, 1, bytes(4)), Fault.PROTOCOL_ERROR),
    "a reset of three bytes": (frame(4, 0, 0), begun(1) + frame(3, 0, 1, bytes(3)), Fault.FRAME_SIZE_ERROR),
    "a window that grows by nothing": (frame(4, 0, 0), frame(8, 0, 0, bytes(4)), Fault.PROTOCOL_ERROR),
    "a window beyond all": (frame(4, 0, 0), frame(8, 0, 0, struct.pack(">I", 2**31 - 1)), Fault.FLOW_CONTROL_ERROR),
    "a window of an idle stream": (frame(4, 0, 0), frame(8, 0, 1, struct.pack(">I", 1)), Fault.PROTOCOL_ERROR),
    "a goodbye of one byte": (frame(4, 0, 0), frame(7, 0, 0, b"x"), Fault.FRAME_SIZE_ERROR),
    "settings without end": (frame(4, 0, 0), frame(4, 0, 0, struct.pack(">HI", 4, 9)) * 3000, Fault.ENHANCE_YOUR_CALM),
    "continuations of nothing": (
        frame(4, 0, 0),
        frame(1, 0, 1, CALL) + frame(9, 0, 1) * 3000,
        Fault.ENHANCE_YOUR_CALM,
    ),
    "a goodbye of a stream": (frame(4, 0, 0), frame(7, 0, 1, bytes(8)), Fault.PROTOCOL_ERROR),
    "a priority of nothing": (frame(4, 0, 0), frame(2, 0, 0, bytes(5)), Fault.PROTOCOL_ERROR),
}
RESETTING = {
    "data after the end": (
        frame(1, 4, 1, CALL) + frame(0, 1, 1, message(b"")) + frame(0, 0, 1, b"x"),
        Fault.STREAM_CLOSED,
    ),
    "a window that grows by nothing": (begun(1) + frame(8, 0, 1, bytes(4)), Fault.PROTOCOL_ERROR),
    "a window beyond all": (begun(1) + frame(8, 0, 1, struct.pack(">I", 2**31 - 1)), Fault.FLOW_CONTROL_ERROR),
    "headers twice": (begun(1) + frame(1, 4, 1, CALL), Fault.PROTOCOL_ERROR),
    "no path": (frame(1, 4, 1, HEADERS_OF_A_CALL + TYPE), Fault.PROTOCOL_ERROR),
    "a header in capitals": (frame(1, 4, 1, CALL + b"\x00\x01A\x01b"), Fault.PROTOCOL_ERROR),
    "a priority of four bytes": (begun(1) + frame(2, 0, 1, bytes(4)), Fault.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", ENDING)
async def test_a_connection_that_cannot_go_on_ends_with_the_reason(connect, client, name):
    before, after, fault = ENDING[name]
    broken = await connect()
    broken.h2.initiate_connection()
    broken.writer.write(PREFACE + (before or b"") + after)
    await broken.until_closed()
    ((code, reason),) = broken.goaways
    assert code == fault
    assert reason
    assert (await client.answer(await client.ask())).status == "0"


@pytest.mark.parametrize("name", RESETTING)
async def test_a_call_that_breaks_a_rule_ends_alone(connect, name):
    sent, fault = RESETTING[name]
    broken = await connect()
    broken.h2.initiate_connection()
    broken.writer.write(PREFACE + frame(4, 0, 0) + sent + frame(6, 0, 0, b"are you?"))
    seen = b""
    while b"are you?" not in seen:
        seen += await asyncio.wait_for(broken.reader.read(2**16), 10)
    assert frame(3, 0, 1, struct.pack(">I", fault)) in seen


async def test_frames_of_kinds_that_nobody_knows_mean_nothing(client):
    client.writer.write(frame(0xBE, 0xFF, 0, b"extension") + frame(0xBF, 0, 7, b"another"))
    assert (await client.answer(await client.ask())).status == "0"


async def test_who_speaks_http_1_is_told_what_is_spoken_here(connect):
    client = await connect()
    client.writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = await asyncio.wait_for(client.reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert answer.endswith(b"expected gRPC, which is HTTP/2; got other data\n")


async def test_who_says_nothing_is_not_kept(connect, monkeypatch):
    monkeypatch.setattr(connection, "_HELLO_SECONDS", 0.1)
    client = await connect()
    client.writer.write(PREFACE[:10])
    while await asyncio.wait_for(client.reader.read(2**16), 5):
        pass


async def test_calls_that_are_begun_and_cancelled_without_end_end_the_connection(client, monkeypatch):
    monkeypatch.setattr(connection, "_MOST_NUISANCES", 20)
    for _ in range(30):
        stream = await client.begin("/toy/Slow")
        client.h2.reset_stream(stream)
    await client.flush()
    await client.until_closed()
    assert client.goaways[0][0] == Fault.ENHANCE_YOUR_CALM


async def test_windows_that_open_byte_by_byte_hold_up_nobody(connect, client):
    """Many answers that wait for their own windows are not looked at when the connection's grows."""
    greedy = await connect()
    await greedy.greet({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    streams = [await greedy.ask(bytes(100)) for _ in range(LIMITS.calls)]
    greedy.writer.write(frame(8, 0, 0, struct.pack(">I", 1)) * 20_000)
    began = time.process_time()
    for stream in streams:
        greedy.h2.increment_flow_control_window(105, stream)
    await greedy.flush()
    for stream in streams:
        assert (await greedy.answer(stream)).status == "0"
    assert time.process_time() - began < 5
    assert (await client.answer(await client.ask())).status == "0"


async def test_who_does_not_take_answers_gets_no_others(connect, monkeypatch):
    monkeypatch.setattr(connection, "_MOST_WAITING_BYTES", 1000)
    greedy = await connect()
    await greedy.greet({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    first = await greedy.ask(bytes(2000))
    await greedy.look()
    await asyncio.sleep(0.1)
    refused = await greedy.answer(await greedy.ask())
    assert refused.status == "8"
    assert "2005 bytes that wait" in refused.headers["grpc-message"]
    greedy.h2.increment_flow_control_window(3000, first)
    await greedy.flush()
    assert (await greedy.answer(first)).status == "0"
    again = await greedy.ask(b"")
    greedy.h2.increment_flow_control_window(3000, again)
    await greedy.flush()
    assert (await greedy.answer(again)).status == "0"
