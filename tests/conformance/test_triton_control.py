"""Triton's clients against a server of their own: sequences, batches, and models that they load and unload."""

import asyncio
import queue
import shutil

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from ..serving.savedmodels import STROKE_RULE, Affine, Labelled, save

pytestmark = pytest.mark.timeout(900)

STROKES = np.linspace(-0.1, 0.1, 24, dtype=np.float32).reshape(1, 12, 2)
PIECES = [STROKES[:, start : start + 3] for start in range(0, 12, 3)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("triton")
    save(Labelled(), base / "labelled" / "1", rules={"strokes": STROKE_RULE}, sizes=(1, 4))
    save(Affine(1.0), base / "affine" / "1", sizes=(1, 4))
    return base


@pytest.fixture(scope="module")
def server(base, serve):
    with serve(models=base, allow_model_control="true", file_system_poll_wait_seconds=0) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def http(server):
    with triton_http.InferenceServerClient(server.rest.removeprefix("http://")) as client:
        yield client


def tensor(array, name="strokes", library=triton):
    given = library.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return given.set_data_from_numpy(array)


@pytest.fixture(scope="module")
def wholes(client):
    """What the whole so far gets, after each piece."""
    lengths = np.cumsum([piece.shape[1] for piece in PIECES])
    return [client.infer("labelled", [tensor(STROKES[:, :n].copy())]).as_numpy("scores") for n in lengths]


def check(answers, wholes):
    assert len(answers) == len(wholes)
    for answer, whole in zip(answers, wholes, strict=True):
        np.testing.assert_allclose(answer.as_numpy("scores"), whole, rtol=1e-4)


@pytest.mark.parametrize("id_", [42, "drawing-1"])
def test_a_sequence_over_a_stream_gets_what_the_whole_so_far_would(server, wholes, id_):
    answers: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for index, piece in enumerate(PIECES):
            client.async_stream_infer(
                "labelled",
                [tensor(piece)],
                sequence_id=id_,
                sequence_start=index == 0,
                sequence_end=index == len(PIECES) - 1,
            )
        got = [answers.get(timeout=60) for _ in PIECES]
        client.stop_stream()
    assert [error for _, error in got] == [None] * len(PIECES)
    check([result for result, _ in got], wholes)


async def test_many_sequences_share_a_stream(server, wholes):
    async def requests():
        for index, piece in enumerate(PIECES):
            for number in range(1, 6):
                flags = {"sequence_start": index == 0, "sequence_end": index == len(PIECES) - 1}
                yield {"model_name": "labelled", "inputs": [tensor(piece)], "sequence_id": number, **flags}

    async with triton_aio.InferenceServerClient(server.grpc) as client:
        got = [answer async for answer in client.stream_infer(requests())]
    assert not any(error for _, error in got)
    for number in range(5):
        check([result for result, _ in got[number::5]], wholes)


@pytest.mark.parametrize("over", ["grpc", "http"])
def test_a_sequence_of_single_calls(client, http, wholes, over):
    library, caller = (triton, client) if over == "grpc" else (triton_http, http)
    got = [
        caller.infer(
            "labelled",
            [tensor(piece, library=library)],
            sequence_id=7,
            sequence_start=index == 0,
            sequence_end=index == len(PIECES) - 1,
        )
        for index, piece in enumerate(PIECES)
    ]
    check(got, wholes)


def test_a_sequence_survives_a_bad_step_and_ends_where_it_says(client, wholes):
    def step(array, **flags):
        return client.infer("labelled", [tensor(array)], sequence_id=9, **flags)

    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        step(PIECES[0])
    first = step(PIECES[0], sequence_start=True)
    for bad, complaint in [
        (np.zeros((2, 3, 2), np.float32), "to go on with sequence 9"),
        (np.zeros((1, 3, 3), np.float32), "to go on with sequence 9"),
        (np.zeros((1, 3, 2), np.float64), "to go on with sequence 9"),
        (np.full((1, 1, 2), np.nan, np.float32), "finite"),
        (np.zeros((1, 99, 2), np.float32), "received: 102"),
    ]:
        with pytest.raises(InferenceServerException, match=complaint) as caught:
            step(bad)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    check([first, *(step(piece) for piece in PIECES[1:])], wholes)
    check([step(PIECES[0], sequence_start=True, sequence_end=True)], wholes[:1])
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        step(PIECES[1])


def test_a_batching_model_says_so_and_counts_rows(client):
    config = client.get_model_config("affine").config
    assert config.max_batch_size == 4
    assert list(config.dynamic_batching.preferred_batch_size) == [1, 4]
    assert list(config.input[0].dims) == [3]
    x = np.ones((3, 3), np.float32)
    before = client.get_inference_statistics("affine").model_stats[0]
    for _ in range(2):
        client.infer("affine", [tensor(x, "x")])
    after = client.get_inference_statistics("affine").model_stats[0]
    assert after.inference_count - before.inference_count == 6
    assert after.execution_count - before.execution_count == 2
    assert {batch.batch_size: batch.compute_infer.count for batch in after.batch_stats}[3] >= 2


def test_models_are_loaded_and_unloaded(client, http, base):
    x = np.ones((1, 3), np.float32)
    client.unload_model("affine")
    assert not client.is_model_ready("affine")
    states = {entry["name"]: entry.get("state") for entry in http.get_model_repository_index()}
    assert states == {"affine": "UNAVAILABLE", "labelled": "READY"}
    with pytest.raises(InferenceServerException) as caught:
        client.infer("affine", [tensor(x, "x")])
    assert caught.value.status() in ("StatusCode.NOT_FOUND", "StatusCode.FAILED_PRECONDITION")
    http.load_model("affine")
    assert client.infer("affine", [tensor(x, "x")]).as_numpy("y") == 7
    save(Affine(2.0), base / "affine" / "2", sizes=(1, 4))
    client.load_model("affine")
    assert client.infer("affine", [tensor(x, "x")]).as_numpy("y") == 8
    shutil.copytree(base / "affine", base / "late")
    client.load_model("late")
    assert client.is_model_ready("late")
    http.unload_model("late", unload_dependents=True)
    assert not client.is_model_ready("late")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.load_model("nobody"),
        lambda client: client.unload_model("nobody"),
        lambda client: client.load_model("affine", config="{}"),
    ],
)
def test_what_cannot_be_loaded_says_why(client, http, call):
    for caller in (client, http):
        with pytest.raises(InferenceServerException, match=r"nobody|config"):
            call(caller)


async def test_a_server_that_stops_does_not_wait_for_open_streams(server):
    """The last of this file: the server is gone afterwards."""

    async def requests():
        yield {"model_name": "affine", "inputs": [tensor(np.ones((1, 3), np.float32), "x")]}
        await asyncio.sleep(60)

    async with triton_aio.InferenceServerClient(server.grpc) as client:
        stream = client.stream_infer(requests())
        _, error = await anext(aiter(stream))
        assert error is None
        began = asyncio.get_running_loop().time()
        server.process.terminate()
        with pytest.raises(grpc.aio.AioRpcError, match="stopping"):
            await anext(aiter(stream))
    await asyncio.to_thread(server.process.wait, 30)
    assert asyncio.get_running_loop().time() - began < 15
