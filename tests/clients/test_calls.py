"""Errors, retries, deadlines and connections of both clients, against the small server."""

import asyncio
import inspect
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import seqserve_client
from seqserve_client import (
    AsyncClient,
    BadAnswer,
    Client,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    Overloaded,
    Retry,
    Timeout,
    Unavailable,
    Unsupported,
)

X = np.arange(6, dtype=np.float32).reshape(2, 3)
QUICK = Retry(first=0.01, longest=0.02)


def test_any_model_by_arrays(client):
    strings = np.array(["a", b"b"], dtype=object)
    result = client.infer("echo", {"x": X, "s": strings})
    np.testing.assert_array_equal(result["x"], X)
    assert result["s"].tolist() == [b"a", b"b"]
    assert (result.model, result.version) == ("echo", "1")
    assert list(client.infer("echo", {"x": X, "s": strings}, outputs=["x"]).outputs) == ["x"]


def test_asks_for_the_version_that_was_asked_for(client, server):
    client.infer("echo", {"x": X}, version=7)
    assert server.peers.requests[-1].model_version == "7"
    client.forecast([1.0] * 7, version="2")
    assert server.peers.requests[-1].model_version == "2"


def test_an_output_that_is_not_there_is_named(client):
    with pytest.raises(BadAnswer, match=r"echo: expected an output 'y'. Received: \['x'\]"):
        client.infer("echo", {"x": X})["y"]


def test_typed_contents_are_read_too(client, server):
    server.peers.typed = True
    assert client.forecast([1.0] * 7).mean.tolist() == [1.0] * 7
    assert client.classify_sketch(strokes=[[1, 0, 1]]).best == "across"


def test_metadata_and_readiness(client):
    assert client.server_live()
    assert client.server_ready()
    assert client.model_ready("forecaster")
    assert not client.model_ready("nothing")
    assert client.server_metadata().name == "small"
    metadata = client.model_metadata("forecaster")
    assert (metadata.versions, metadata.inputs[0].shape) == (("1",), (-1, -1))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNAUTHENTICATED, Denied),
        (grpc.StatusCode.UNIMPLEMENTED, Unsupported),
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.UNKNOWN, Internal),
    ],
)
def test_errors_carry_the_servers_words_and_are_not_tried_again(client, server, status, kind):
    server.peers.failures = [(status, "the server's words")]
    with pytest.raises(kind, match="the server's words") as raised:
        client.infer("echo", {"x": X})
    assert len(server.peers.requests) == 1
    assert raised.value.message.endswith("the server's words")
    assert raised.value.code == kind.code


@pytest.mark.parametrize("limit", [1000, 100_000])
def test_a_message_over_the_limit_of_either_side_is_invalid(server, limit):
    """Of this side, whose gRPC refuses to send it; of the server, whose gRPC says RESOURCE_EXHAUSTED all the same."""
    server.peers.failures = [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (4024 vs. 4000)")
    ]
    with (
        server.client(max_message_bytes=limit) as client,
        pytest.raises(InvalidInput, match=r"message larger than max \(40\d+ vs\. [14]000\)"),
    ):
        client.infer("echo", {"x": np.zeros(1000, np.float32)})


def test_unavailable_is_tried_again_until_it_works(server):
    server.peers.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")] * 3
    with server.client(retry=QUICK) as client:
        assert client.infer("echo", {"x": X})["x"].shape == (2, 3)
    assert len(server.peers.requests) == 4


def test_unavailable_for_too_long_is_an_error(server):
    server.peers.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")] * 5
    with server.client(retry=QUICK) as client, pytest.raises(Unavailable, match="starting"):
        client.infer("echo", {"x": X})
    assert len(server.peers.requests) == 5


def test_a_question_for_readiness_is_asked_once(server, free_port):
    server.peers.failures = [(grpc.StatusCode.UNAVAILABLE, "stopping")]
    with server.client() as client:
        assert not client.server_ready()
        assert client.server_ready()
    with Client(grpc_target=f"127.0.0.1:{free_port}") as client:
        assert not client.server_live()


def test_a_server_that_comes_back_is_found_soon(free_port):
    """GRPC's own wait of a second before it connects again would use up the tries."""
    with Client(grpc_target=f"127.0.0.1:{free_port}", retry=Retry(tries=50, longest=0.2)) as client:
        assert not client.server_live()
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(client.model_metadata, "forecaster")
            time.sleep(0.3)
            late = grpc.server(pool)
            late.add_insecure_port(f"127.0.0.1:{free_port}")
            late.start()
            begun = time.monotonic()
            with pytest.raises(Unsupported):
                waiting.result()
            assert time.monotonic() - begun < 2
            late.stop(None).wait()


def test_every_call_has_a_deadline(server):
    server.peers.delay = 2
    with server.client(timeout=Timeout(infer=0.2, status=0.1)) as client:
        for call in (lambda: client.infer("echo", {"x": X}), lambda: client.server_metadata()):
            begun = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                call()
            assert time.monotonic() - begun < 1
        with pytest.raises(ValueError, match="deadline: expected seconds above 0"):
            client.infer("echo", {"x": X}, deadline=0)


def test_one_channel_serves_all_threads(client, server):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.infer("echo", {"x": X}), range(40)))
    assert len(server.peers.requests) == 40
    assert len(server.peers.connections) == 1


def test_large_messages_pass_and_larger_ones_say_so(server):
    large = np.zeros((2, 4 << 20), np.float32)
    with server.client() as client:
        assert client.infer("echo", {"x": large})["x"].shape == large.shape
    with server.client(max_message_bytes=1 << 20) as client, pytest.raises(InvalidInput, match="larger than max"):
        client.infer("echo", {"x": large})


def test_headers_go_with_every_call(server, blue_clip, monkeypatch):
    monkeypatch.setattr(seqserve_client._video, "can_decode", lambda: False)
    with server.client(headers={"X-Key": "secret"}) as client:
        client.infer("echo", {"x": X})
        client.classify_video(blue_clip)
    assert server.peers.metadata[-1]["x-key"] == "secret"
    assert server.peers.uploads[-1][2]["x-key"] == "secret"


def test_a_closed_client_says_so(client):
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.server_live()
    with pytest.raises(InvalidInput, match="expected at least one input"):
        client.infer("echo", {})


async def test_asyncio_does_the_same(server, blue_clip, blue_frames, monkeypatch):
    made = AsyncClient(grpc_target=server.grpc_target, http_url=server.http_url, retry=QUICK)
    async with made as client:
        server.peers.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")] * 2
        assert (await client.forecast([1.0] * 7, last_date="2019-05-31")).dates is not None
        many = await client.forecast_many([np.arange(7) + i for i in range(70)])
        assert [forecast.mean[0] for forecast in many] == list(range(70))
        assert (await client.classify_sketch(drawing=[[[0, 9], [1, 1]]])).best == "across"
        assert (await client.classify_video(blue_frames)).best == "blue"
        assert (await client.classify_video(blue_clip)).probabilities is not None
        assert (await client.infer("echo", {"x": X}))["x"].shape == (2, 3)
        assert await client.server_live()
        assert await client.server_ready()
        assert await client.model_ready("video")
        assert (await client.server_metadata()).name == "small"
        assert (await client.model_metadata("video")).name == "video"
        monkeypatch.setattr(seqserve_client._video, "can_decode", lambda: False)
        assert (await client.classify_video(blue_clip)).probabilities is None
    assert len(server.peers.connections) == 1
    with pytest.raises(RuntimeError, match="closed"):
        await made.server_live()


async def test_asyncio_errors_and_deadlines(server, blue_clip, free_port, monkeypatch):
    async with AsyncClient(grpc_target=server.grpc_target, http_url=server.http_url) as client:
        with pytest.raises(NotFound, match="no model 'nothing'"):
            await client.infer("nothing", {"x": X})
        server.peers.delay = 1
        with pytest.raises(DeadlineExceeded):
            await client.infer("echo", {"x": X}, deadline=0.2)
        monkeypatch.setattr(seqserve_client._video, "can_decode", lambda: False)
        with pytest.raises(DeadlineExceeded):
            await client.classify_video(blue_clip, deadline=0.2)
    away = f"127.0.0.1:{free_port}"
    async with AsyncClient(grpc_target=away, http_url=f"http://{away}", retry=QUICK) as client:
        assert not await client.server_live()
        with pytest.raises(Unavailable):
            await client.forecast([1.0] * 7)
        with pytest.raises(Unavailable):
            await client.classify_video(blue_clip)


async def test_asyncio_calls_run_side_by_side(server):
    server.peers.delay = 0.3
    async with AsyncClient(grpc_target=server.grpc_target) as client:
        begun = time.monotonic()
        await asyncio.gather(*(client.infer("echo", {"x": X}) for _ in range(6)))
        assert time.monotonic() - begun < 1.5


def test_both_clients_have_the_same_calls():
    names = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"}
    assert names == {name for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction) if name[0] != "_"}
    for name in names:
        plain, awaited = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(plain) == inspect.signature(awaited)
        assert inspect.iscoroutinefunction(awaited)


def test_every_error_is_in_the_tree():
    tree = seqserve_client._exceptions.__doc__
    for name, thing in vars(seqserve_client).items():
        if inspect.isclass(thing) and issubclass(thing, Exception):
            assert f" {name} " in tree.replace("\n", " ")
