"""Triton's HTTP clients, sync and aio, and bare requests, against the zoo."""

import asyncio

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from . import zoo as models

pytestmark = pytest.mark.timeout(900)

X = np.array([[1, 1, 1], [0, 1, 0]], np.float32)
SAMPLES = {
    **{name: np.array([0, 1, 100]).astype(name) for name in models.ECHOED if name.startswith(("int", "uint", "float"))},
    "bool": np.array([True, False]),
    "string": np.array([b"", "häkchen".encode(), b"z"], object),
}


@pytest.fixture(scope="module")
def address(server):
    return server.rest.removeprefix("http://")


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


def tensor(array, name="x", *, binary=True, library=triton):
    given = library.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return given.set_data_from_numpy(array, binary_data=binary)


def test_the_server_is_live_ready_and_says_what_it_is(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "seqserve"
    assert "binary_tensor_data" in metadata["extensions"]


def test_models_say_what_they_take(client):
    assert client.is_model_ready("affine")
    assert client.is_model_ready("affine", "2")
    assert not client.is_model_ready("affine", "99")
    assert not client.is_model_ready("nobody")
    metadata = client.get_model_metadata("affine", "2")
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    config = client.get_model_config("affine")
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]}]


@pytest.mark.parametrize("answer_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_inference(client, binary, request_coding, answer_coding):
    rows = np.tile(X, (200, 1))  # so that the answer is worth compressing
    answer = client.infer(
        "affine",
        [tensor(rows, binary=binary)],
        model_version="2",
        outputs=[triton.InferRequestedOutput("y", binary_data=binary)],
        request_id="r-1",
        request_compression_algorithm=request_coding,
        response_compression_algorithm=answer_coding,
        parameters={"mine": "kept"},
        priority=1,
        timeout=20_000_000,
    )
    np.testing.assert_allclose(answer.as_numpy("y"), [8, 4] * 200)
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r-1", "affine", "2")
    assert ("data" in response["outputs"][0]) is not binary


@pytest.mark.parametrize("dtype", sorted(SAMPLES))
@pytest.mark.parametrize("binary", [True, False])
def test_every_type_goes_both_ways(client, dtype, binary):
    wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
    given = [tensor(SAMPLES[dtype], binary=binary)]
    answer = client.infer("echo", given, outputs=wanted, parameters={"signature_name": dtype})
    got = answer.as_numpy("y")
    if dtype == "string" and not binary:
        got = np.array([text.encode() for text in got], object)
    np.testing.assert_array_equal(got, SAMPLES[dtype])


def test_outputs_come_as_bytes_unless_they_are_named(client):
    answer = client.infer("text", [tensor(np.array([b"ab", b"\xff"], object), "text")])
    assert answer.as_numpy("upper").tolist() == [b"AB", b"\xff"]
    assert answer.as_numpy("length").tolist() == [2, 1]
    wanted = [triton.InferRequestedOutput("length", binary_data=False), triton.InferRequestedOutput("upper")]
    mixed = client.infer("text", [tensor(np.array([b"ab"], object), "text")], outputs=wanted)
    assert mixed.as_numpy("length").tolist() == [2]
    assert mixed.as_numpy("upper").tolist() == [b"AB"]


@pytest.mark.parametrize("binary", [True, False])
def test_classes(client, binary):
    wanted = [triton.InferRequestedOutput("row_sums", binary_data=binary, class_count=1)]
    answer = client.infer("summary", [tensor(np.array([[1, 2], [5, 6]], np.float32))], outputs=wanted)
    assert answer.as_numpy("row_sums").tolist() in ([b"11.000000:1"], ["11.000000:1"])


@pytest.mark.parametrize(
    ("model", "given", "options", "status"),
    [
        ("nobody", X, {}, "404"),
        ("affine", X, {"model_version": "99"}, "404"),
        ("affine", X[:, :2], {}, "400"),
        ("affine", X.astype(np.float64), {}, "400"),
        ("affine", X, {"outputs": [triton.InferRequestedOutput("z")]}, "400"),
        ("affine", X, {"sequence_id": 5, "sequence_start": True}, "400"),
        ("affine", X, {"timeout": 1}, "504"),
    ],
)
def test_errors_have_their_status(client, model, given, options, status):
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [tensor(given)], **options)
    assert caught.value.status() == status


def test_asynchronous_calls(client):
    calls = [client.async_infer("affine", [tensor(X)], model_version="2") for _ in range(6)]
    for call in calls:
        np.testing.assert_allclose(call.get_result(timeout=30).as_numpy("y"), [8, 4])


async def test_the_aio_client(address):
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready("affine")
        # It says that it accepts gzip, and unpacks no answers but inferences.
        assert len(str(await client.get_model_repository_index())) > 1024
        assert len(str(await client.get_inference_statistics())) > 1024
        many = await client.infer("affine", [tensor(np.tile(X, (900, 1)), library=triton_aio)])
        assert many.as_numpy("y").shape == (1800,)
        asked = [
            client.infer(
                "affine",
                [tensor(X, library=triton_aio)],
                model_version="2",
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )
            for coding in (None, "gzip", "deflate")
        ]
        for answer in await asyncio.gather(*asked):
            np.testing.assert_allclose(answer.as_numpy("y"), [8, 4])
        with pytest.raises(InferenceServerException, match="nobody"):
            await client.infer("nobody", [tensor(X, library=triton_aio)])


def test_statistics_are_true(client):
    def counted():
        (stats,) = client.get_inference_statistics("several", "1")["model_stats"]
        return stats

    before = counted()
    client.infer("several", [tensor(np.array([1.0], np.float32))])
    after = counted()
    assert after["inference_count"] - before["inference_count"] == 1
    assert after["execution_count"] - before["execution_count"] == 1
    stats, old = after["inference_stats"], before["inference_stats"]
    assert stats["success"]["count"] - old["success"]["count"] == 1
    assert stats["compute_infer"]["ns"] > old["compute_infer"]["ns"]
    assert sum(batch["compute_infer"]["count"] for batch in after["batch_stats"]) == after["execution_count"]
    assert {"affine", "several"} <= {entry["name"] for entry in client.get_inference_statistics()["model_stats"]}
    with pytest.raises(InferenceServerException):
        client.get_inference_statistics("nobody")


def test_the_index_lists_versions_and_their_states(client, server):
    index = {(entry["name"], entry.get("version")): entry for entry in client.get_model_repository_index()}
    assert index["affine", "2"]["state"] == "READY"
    assert index["broken", "1"]["state"] == "UNAVAILABLE"
    ready = httpx.post(f"{server.rest}/v2/repository/index", json={"ready": True}).json()
    assert {entry["state"] for entry in ready} == {"READY"}
    assert httpx.post(f"{server.rest}/v2/repository/index", content=b"[]").status_code == 400


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda client: client.load_model("affine"), "--allow_model_control"),
        (lambda client: client.unload_model("affine"), "--allow_model_control"),
        (lambda client: client.get_system_shared_memory_status(), "shared memory"),
        (lambda client: client.unregister_cuda_shared_memory(), "shared memory"),
        (lambda client: client.get_trace_settings("affine"), "tracing"),
        (lambda client: client.update_log_settings({"log_verbose_level": 1}), "logging"),
    ],
)
def test_what_is_refused(client, call, complaint):
    with pytest.raises(InferenceServerException, match=complaint):
        call(client)
    assert client.is_model_ready("affine")


def test_the_bare_protocol_in_json(server):
    with httpx.Client(base_url=server.rest) as http:
        body = {"id": "7", "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [[1, 1, 1]]}]}
        answer = http.post("/v2/models/affine/versions/2/infer", json=body)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "model_name": "affine",
            "model_version": "2",
            "id": "7",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [8.0]}],
        }
        for method, path, status in [
            ("GET", "/v2/models/affine/infer", 405),
            ("POST", "/v2/health/live", 405),
            ("GET", "/v2/models/nobody", 404),
            ("GET", "/v2/models/nobody/ready", 400),
            ("GET", "/v2/models/nobody/config", 404),
            ("GET", "/v2/nothing", 404),
            ("POST", "/v2/models/affine/infer", 400),
        ]:
            refused = http.request(method, path)
            assert (refused.status_code, list(refused.json())) == (status, ["error"]), path
