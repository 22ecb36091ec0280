"""Triton's gRPC clients, sync and aio, against the zoo."""

import asyncio
import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from . import zoo as models

pytestmark = pytest.mark.timeout(900)

X = np.array([[1, 1, 1], [0, 1, 0]], np.float32)
SAMPLES = {
    **{name: np.array([0, 1, 100]).astype(name) for name in models.ECHOED if name.startswith(("int", "uint", "float"))},
    "bool": np.array([True, False]),
    "string": np.array([b"", "häkchen".encode(), b"\x00\xff"], object),
}


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


def tensor(array, name="x"):
    return triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)


def test_the_server_is_live_ready_and_says_what_it_is(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata(as_json=True)
    assert metadata["name"] == "seqserve"
    assert {"binary_tensor_data", "sequence", "statistics", "model_repository"} <= set(metadata["extensions"])


def test_models_say_what_they_take(client):
    assert client.is_model_ready("affine")
    assert client.is_model_ready("affine", "2")
    assert not client.is_model_ready("affine", "99")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("broken")
    metadata = client.get_model_metadata("affine")
    assert (metadata.name, metadata.platform) == ("affine", "tensorflow_savedmodel")
    assert "2" in metadata.versions
    (given,) = metadata.inputs
    assert (given.name, given.datatype, list(given.shape)) == ("x", "FP32", [-1, 3])
    with pytest.raises(InferenceServerException) as caught:
        client.get_model_metadata("nobody")
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_a_configuration_describes_the_model(client):
    config = client.get_model_config("affine").config
    assert (config.name, config.platform, config.backend) == ("affine", "tensorflow_savedmodel", "tensorflow")
    assert config.max_batch_size == 0  # without batching parameters nothing says that axis 0 is a batch
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("x", 11, [-1, 3])]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [("y", 11, [-1])]
    assert client.get_model_config("text", as_json=True)["config"]["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_inference(client, compression):
    answer = client.infer(
        "affine",
        [tensor(X)],
        model_version="2",
        outputs=[triton.InferRequestedOutput("y")],
        request_id="r-1",
        compression_algorithm=compression,
        parameters={"mine": "kept"},
        priority=3,
        timeout=20_000_000,
    )
    np.testing.assert_allclose(answer.as_numpy("y"), [8, 4])
    response = answer.get_response()
    assert (response.id, response.model_name, response.model_version) == ("r-1", "affine", "2")


@pytest.mark.parametrize("dtype", sorted(SAMPLES))
def test_every_type_goes_both_ways(client, dtype):
    answer = client.infer("echo", [tensor(SAMPLES[dtype])], parameters={"signature_name": dtype})
    np.testing.assert_array_equal(answer.as_numpy("y"), SAMPLES[dtype])


def test_several_outputs_or_only_those_asked_for(client):
    text = np.array([b"ab", b"c"], object)
    answer = client.infer("text", [tensor(text, "text")])
    assert answer.as_numpy("upper").tolist() == [b"AB", b"C"]
    assert answer.as_numpy("length").tolist() == [2, 1]
    asked = client.infer("text", [tensor(text, "text")], outputs=[triton.InferRequestedOutput("length")])
    assert asked.as_numpy("upper") is None


def test_classes(client):
    wanted = [triton.InferRequestedOutput("row_sums", class_count=1)]
    answer = client.infer("summary", [tensor(np.array([[1, 2], [5, 6]], np.float32))], outputs=wanted)
    assert answer.as_numpy("row_sums").tolist() == [b"11.000000:1"]


def test_models_without_a_batch(client):
    assert client.infer("scalar", [tensor(np.array(1, np.float32))]).as_numpy("y") == 2
    answer = client.infer("vector", [tensor(np.array([3, 0, 4], np.float32))])
    assert answer.as_numpy("norm") == 5


@pytest.mark.parametrize(
    ("model", "given", "options", "status"),
    [
        ("nobody", X, {}, "NOT_FOUND"),
        ("affine", X, {"model_version": "99"}, "NOT_FOUND"),
        ("affine", X, {"model_version": "x"}, "INVALID_ARGUMENT"),
        ("affine", X[:, :2], {}, "INVALID_ARGUMENT"),
        ("affine", X.astype(np.float64), {}, "INVALID_ARGUMENT"),
        ("affine", X, {"outputs": [triton.InferRequestedOutput("z")]}, "INVALID_ARGUMENT"),
        ("affine", X, {"sequence_id": 5, "sequence_start": True}, "INVALID_ARGUMENT"),
        ("affine", X, {"timeout": 1}, "DEADLINE_EXCEEDED"),
        ("slow", np.array([1], np.float32), {"client_timeout": 0.2}, "DEADLINE_EXCEEDED"),
    ],
)
def test_errors_have_their_status(client, model, given, options, status):
    name = "seconds" if model == "slow" else "x"
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [tensor(given, name)], **options)
    assert caught.value.status() == f"StatusCode.{status}"
    np.testing.assert_allclose(client.infer("affine", [tensor(X)], model_version="2").as_numpy("y"), [8, 4])


def test_asynchronous_calls(client):
    answers: queue.Queue = queue.Queue()
    for _ in range(4):
        client.async_infer("affine", [tensor(X)], lambda result, error: answers.put((result, error)), model_version="2")
    for _ in range(4):
        result, error = answers.get(timeout=30)
        assert error is None
        np.testing.assert_allclose(result.as_numpy("y"), [8, 4])


def test_a_stream_answers_in_order_and_goes_on_after_an_error(server):
    answers: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(20):
            model = "nobody" if number == 5 else "slow" if number == 3 else "picky"
            name, value = ("seconds", 0.3) if model == "slow" else ("x", number**2)
            client.async_stream_infer(
                model,
                [tensor(np.array([value], np.float32), name)],
                request_id=str(number),
                enable_empty_final_response=True,
            )
        got = [answers.get(timeout=60) for _ in range(20)]
        client.stop_stream()
    assert answers.empty()
    for number, (result, error) in enumerate(got):
        if number == 5:
            assert "nobody" in error.message()
            continue
        response = result.get_response()
        assert (error, response.id) == (None, str(number))
        assert response.parameters["triton_final_response"].bool_param
        if number != 3:
            assert result.as_numpy("root") == number


async def test_the_aio_client(server):
    async with triton_aio.InferenceServerClient(server.grpc) as client:
        assert await client.is_model_ready("affine")
        answer = await client.infer("affine", [tensor(X)], model_version="2", compression_algorithm="gzip")
        np.testing.assert_allclose(answer.as_numpy("y"), [8, 4])

        async def requests():
            for number in range(10):
                model = "nobody" if number == 4 else "picky"
                given = [tensor(np.array([number**2], np.float32))]
                yield {"model_name": model, "inputs": given, "request_id": str(number)}

        got = [answer async for answer in client.stream_infer(requests(), stream_timeout=60)]
        assert [error is None for _, error in got] == [number != 4 for number in range(10)]
        assert [int(result.as_numpy("root")[0]) for result, error in got if error is None] == [
            0,
            1,
            2,
            3,
            5,
            6,
            7,
            8,
            9,
        ]

        forever = client.stream_infer(_one_and_wait())
        await anext(aiter(forever))
        assert forever.cancel()


async def _one_and_wait():
    yield {"model_name": "picky", "inputs": [tensor(np.array([1], np.float32))]}
    await asyncio.sleep(60)


def test_statistics_are_true(client):
    def counted():
        (stats,) = client.get_inference_statistics("half_plus_two").model_stats
        return stats

    half = np.array([[1.0]], np.float32)
    before = counted()
    for _ in range(3):
        client.infer("half_plus_two", [tensor(half)])
    with pytest.raises(InferenceServerException):
        client.infer("half_plus_two", [tensor(half.astype(np.float64))])
    after = counted()
    assert (after.name, after.version) == ("half_plus_two", "123")
    assert after.inference_count - before.inference_count == 3
    assert after.execution_count - before.execution_count == 3
    stats, old = after.inference_stats, before.inference_stats
    for field in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert getattr(stats, field).count - getattr(old, field).count == 3
    assert stats.fail.count - old.fail.count == 1
    assert stats.success.ns > stats.compute_infer.ns > 0
    assert after.last_inference >= before.last_inference
    everything = {entry.name for entry in client.get_inference_statistics().model_stats}
    assert {"affine", "echo", "half_plus_two"} <= everything
    with pytest.raises(InferenceServerException) as caught:
        client.get_inference_statistics("nobody")
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_the_index_lists_versions_and_their_states(client):
    index = {(entry.name, entry.version): entry for entry in client.get_model_repository_index().models}
    assert index["affine", "2"].state == "READY"
    assert index["broken", "1"].state == "UNAVAILABLE"
    assert index["broken", "1"].reason


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda client: client.load_model("affine"), "FAILED_PRECONDITION"),
        (lambda client: client.unload_model("affine"), "FAILED_PRECONDITION"),
        (lambda client: client.get_system_shared_memory_status(), "UNIMPLEMENTED"),
        (lambda client: client.unregister_cuda_shared_memory(), "UNIMPLEMENTED"),
        (lambda client: client.get_trace_settings(), "UNIMPLEMENTED"),
        (lambda client: client.update_log_settings({"log_verbose_level": 1}), "UNIMPLEMENTED"),
    ],
)
def test_what_is_refused(client, call, status):
    with pytest.raises(InferenceServerException) as caught:
        call(client)
    assert caught.value.status() == f"StatusCode.{status}"
    if status == "FAILED_PRECONDITION":
        assert "--allow_model_control" in caught.value.message()
        assert client.is_model_ready("affine")


def test_an_unknown_model_is_refused_in_the_words_that_clients_look_for(client) -> None:
    for ask in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match=r"Request for unknown model: .*nothing") as refused:
            ask("nothing")
        assert refused.value.status() == "StatusCode.NOT_FOUND"
