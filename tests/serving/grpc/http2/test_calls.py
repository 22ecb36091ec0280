"""Calls over HTTP/2, in every form that a client may give them."""

import asyncio
import gzip
import zlib

import pytest
from h2.settings import SettingCodes

from serving.grpc.http2.frames import Fault, frame, goaway
from serving.grpc.http2.reader import FRAME_BYTES

from .conftest import HEADERS, LIMITS, Answer, Client, message


async def test_a_call_is_answered_with_headers_a_message_and_trailers(client):
    answer = await client.answer(await client.ask(b"hello"))
    assert answer.body == message(b"hello")
    assert answer.headers == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}


async def test_calls_of_one_connection_are_worked_on_at_once(client):
    slow = await client.ask(path="/toy/Slow")
    assert (await client.answer(await client.ask())).status == "0"
    assert not client.answers[slow].ended


@pytest.mark.parametrize("size", [0, 1, 2**14 - 5, 2**14, 2**16 + 1, LIMITS.message_bytes])
@pytest.mark.parametrize("padding", [None, 0, 100])
async def test_messages_of_every_size_come_back_whole(client, size, padding):
    payload = bytes(index % 251 for index in range(size))
    answer = await client.answer(await client.ask(payload, padding=padding))
    assert answer.status == "0"
    assert answer.body == message(payload)


async def test_a_message_in_the_largest_frame_is_taken_as_it_comes(client):
    await client.look()  # at the server's settings, which allow such frames
    assert client.h2.max_outbound_frame_size == FRAME_BYTES
    payload = bytes(60_000)
    answer = await client.answer(await client.ask(payload))
    assert answer.body == message(payload)


async def test_bytes_that_trickle_in_are_put_together(client):
    stream = client.h2.get_next_available_stream_id()
    await client.begin()
    client.h2.send_data(stream, message(b"trickle"), end_stream=True)
    for byte in client.h2.data_to_send():
        client.writer.write(bytes((byte,)))
        await client.writer.drain()
        await asyncio.sleep(0.001)
    assert (await client.answer(stream)).body == message(b"trickle")


async def test_one_header_block_may_mean_different_things(client):
    """The same bytes refer to entries of a table that later headers move."""
    paths = ["/toy/Echo", "/toy/Wrong", "/toy/Nothing", "/toy/Echo", "/toy/Wrong", "/toy/Echo", "/toy/Nothing"]
    statuses = {"/toy/Echo": "0", "/toy/Wrong": "3", "/toy/Nothing": "12"}
    for turn in range(4):
        for number, path in enumerate(paths):
            more = [("x-turn", f"{turn}-{number}")] if turn % 2 else []
            answer = await client.answer(await client.ask(path=path, more=more))
            assert answer.status == statuses[path]


async def test_a_client_may_shrink_its_table(client):
    for size in (0, 4096, 100):
        client.h2.encoder.header_table_size = size
        for _ in range(3):
            assert (await client.answer(await client.ask())).status == "0"


async def test_an_answer_waits_for_the_window_and_others_do_not(connect):
    client = await connect()
    await client.greet({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    client.window_gives = False
    large = await client.ask(bytes(5000))
    small = await client.answer(await client.ask(b"small"))
    assert small.status == "0"
    assert len(client.answers[large].body) == 1000
    client.window_gives = True
    client.h2.increment_flow_control_window(10_000, large)
    await client.flush()
    answer = await client.answer(large)
    assert answer.status == "0"
    assert answer.body == message(bytes(5000))


async def test_a_window_that_is_set_anew_lets_more_through(connect):
    client = await connect()
    await client.greet({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream = await client.ask(b"hello")
    await client.look()
    await asyncio.sleep(0.05)
    assert client.answers[stream].body == b""
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    await client.flush()
    assert (await client.answer(stream)).body == message(b"hello")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_messages_are_unpacked(client, encoding, pack):
    stream = await client.begin(more=[("grpc-encoding", encoding)])
    await client.send(stream, message(pack(b"hello" * 100), flag=1))
    answer = await client.answer(stream)
    assert (answer.status, answer.body) == ("0", message(b"hello" * 100))


@pytest.mark.parametrize(
    ("encoding", "payload", "flag", "status", "told"),
    [
        ("gzip", gzip.compress(bytes(2**21)), 1, "8", "larger than max"),
        ("gzip", b"no gzip", 1, "13", "expected a gzip body"),
        ("gzip", gzip.compress(bytes(1000))[:-12], 1, "13", "ends early"),
        ("deflate", gzip.compress(b"hello"), 1, "13", "expected a deflate body"),
        ("identity", b"hello", 1, "13", "got flag 1"),
        ("gzip", b"hello", 7, "13", "got flag 7"),
    ],
)
async def test_what_does_not_unpack_is_refused(client, encoding, payload, flag, status, told):
    stream = await client.begin(more=[("grpc-encoding", encoding)])
    await client.send(stream, message(payload, flag=flag))
    answer = await client.answer(stream)
    assert answer.status == status
    assert told in answer.headers["grpc-message"]
    assert (await client.answer(await client.ask())).status == "0"


async def test_an_unknown_encoding_is_told_which_are_known(client):
    stream = await client.begin(more=[("grpc-encoding", "br")])
    answer = await client.answer(stream)
    assert answer.status == "12"
    assert answer.headers["grpc-accept-encoding"] == "identity,gzip,deflate"


async def test_a_message_over_the_limit_is_refused_by_its_first_bytes(client):
    stream = await client.begin()
    await client.send(stream, message(bytes(LIMITS.message_bytes + 1))[:100], end=False)
    answer = await client.answer(stream)
    assert answer.status == "8"
    assert f"({LIMITS.message_bytes + 1} vs. {LIMITS.message_bytes})" in answer.headers["grpc-message"]
    assert (await client.answer(await client.ask())).status == "0"


@pytest.mark.parametrize(
    "data", [b"\0\0", bytes(4), message(b"hello")[:-1], message(b"hello") + b"x", message(b"a") * 2]
)
async def test_what_is_not_one_message_is_refused(client, data):
    stream = await client.begin()
    await client.send(stream, data)
    answer = await client.answer(stream)
    assert answer.status == "13"
    assert "expected one message" in answer.headers["grpc-message"]


async def test_details_survive_the_header(client):
    answer = await client.answer(await client.ask(path="/toy/Wrong"))
    assert answer.status == "3"
    assert answer.headers["grpc-message"] == "100%25 wrong: %C3%A4%0A"


async def test_a_stream_goes_both_ways(client):
    stream = await client.begin("/toy/Reversed")
    for word in (b"one", b"two"):
        await client.send(stream, message(word), end=False)
        while not client.answers[stream].body.endswith(word[::-1]):
            await client.look()
    await client.send(stream, message(b"three"))
    answer = await client.answer(stream)
    assert answer.body == message(b"eno") + message(b"owt") + message(b"eerht")
    assert answer.status == "0"


async def test_a_stream_may_hold_more_than_its_window(client):
    stream = await client.begin("/toy/Reversed")
    payload = bytes(range(256)) * 1024
    assert len(payload) > LIMITS.window
    await client.send(stream, message(payload) * 2)
    answer = await client.answer(stream)
    assert answer.body == message(payload[::-1]) * 2


async def test_a_stream_that_ends_within_a_message_is_refused(client):
    stream = await client.begin("/toy/Reversed")
    await client.send(stream, message(b"whole") + message(b"half")[:-1])
    answer = await client.answer(stream)
    assert answer.body == message(b"elohw")
    assert answer.status == "13"


async def test_a_deadline_passes_though_the_client_says_nothing(client, toy):
    answer = await client.answer(await client.ask(path="/toy/Slow", more=[("grpc-timeout", "100m")]))
    assert answer.status == "4"
    await asyncio.wait_for(toy.cancelled.wait(), 5)


async def test_a_reset_cancels_the_work_and_nothing_else(client, toy):
    stream = await client.ask(path="/toy/Slow")
    await asyncio.wait_for(toy.begun.wait(), 5)
    client.h2.reset_stream(stream)
    await client.flush()
    await asyncio.wait_for(toy.cancelled.wait(), 5)
    assert (await client.answer(await client.ask())).status == "0"


async def test_a_connection_that_breaks_cancels_its_work(client, toy):
    await client.ask(path="/toy/Slow")
    await asyncio.wait_for(toy.begun.wait(), 5)
    client.writer.transport.abort()
    await asyncio.wait_for(toy.cancelled.wait(), 5)


@pytest.mark.parametrize(
    ("changed", "status"), [({":method": "GET"}, "405"), ({"content-type": "application/json"}, "415")]
)
async def test_what_is_no_call_gets_an_http_status(client: Client, changed, status):
    headers = dict(HEADERS)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, list((headers | changed).items()), end_stream=True)
    client.answers[stream] = Answer()
    await client.flush()
    assert (await client.answer(stream)).headers == {":status": status}


async def test_more_calls_than_a_connection_may_have_are_refused(client):
    for _ in range(LIMITS.calls):
        await client.ask(path="/toy/Slow")
    client.h2.remote_settings.max_concurrent_streams = 100  # as if it had not been told
    answer = await client.answer(await client.ask())
    assert answer.reset == 7  # REFUSED_STREAM: the client may ask another server


async def test_a_server_that_leaves_answers_what_it_has_been_asked(client, listener):
    await client.ask(b"before")
    leaving = asyncio.create_task(listener.drain(5))
    seen, asked_again = b"", False
    while data := await asyncio.wait_for(client.reader.read(2**16), 10):
        seen += data
        if frame(6, 0, 0, b"goodbye!") in seen and not asked_again:
            asked_again = True
            await client.ask(b"meanwhile")  # it was on its way when the server said goodbye
            client.writer.write(frame(6, 1, 0, b"goodbye!"))
    assert message(b"before") in seen
    assert message(b"meanwhile") in seen
    assert goaway(3, Fault.NO_ERROR) in seen
    await asyncio.wait_for(leaving, 5)


async def test_all_members_of_a_gzip_are_one_message(client):
    stream = await client.begin(more=[("grpc-encoding", "gzip")])
    await client.send(stream, message(gzip.compress(b"one ") + gzip.compress(b"two"), flag=1))
    assert (await client.answer(stream)).body == message(b"one two")


async def test_a_stream_that_nobody_reads_is_given_no_more_room(client):
    stream = await client.begin("/toy/Unread")
    payload = message(bytes(40_000))  # more than half of the window
    sent = 0
    while sent < 20 and client.h2.local_flow_control_window(stream) >= len(payload):
        for start in range(0, len(payload), 16_000):
            client.h2.send_data(stream, payload[start : start + 16_000])
        await client.flush()
        await client.answer(await client.ask())  # what it gives would have come before this answer
        sent += 1
    assert sent * len(payload) < 3 * LIMITS.window


async def test_an_answer_that_nobody_takes_ends_with_its_deadline(connect):
    client = await connect()
    await client.greet({SettingCodes.INITIAL_WINDOW_SIZE: 10})
    client.window_gives = False
    answer = await client.answer(await client.ask(bytes(1000), more=[("grpc-timeout", "200m")]))
    assert answer.status is None
    assert len(answer.body) == 10


async def test_calls_of_all_connections_together_are_bounded(connect):
    clients = [await connect() for _ in range(3)]
    for client in clients[:2]:
        await client.greet()
        for _ in range(LIMITS.calls // 2):
            await client.ask(path="/toy/Slow")
        await client.look()
    await clients[2].greet()
    answer = await clients[2].answer(await clients[2].ask())
    assert answer.status == "8"
    assert "expected at most 8 calls at once" in answer.headers["grpc-message"]
