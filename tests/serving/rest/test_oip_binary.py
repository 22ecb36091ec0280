"""The binary-tensor extension over HTTP, on the level of bytes."""

import json

import numpy as np
import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

INFER = "/v2/models/sum/infer"
X = np.array([[1, 2], [3, 4]], np.float32)
LENGTH = "Inference-Header-Content-Length"


def tensor(size=16, **changes):
    return {"name": "x", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": size}, **changes}


def message(body, content=b"", length=None):
    head = json.dumps(body).encode()
    return {"content": head + content, "headers": {LENGTH: str(len(head) if length is None else length)}}


def parts(answer):
    length = int(answer.headers[LENGTH])
    return json.loads(answer.content[:length]), answer.content[length:]


async def test_bytes_in_and_json_out(client):
    answer = await client.post(INFER, **message({"inputs": [tensor()]}, X.tobytes()))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["outputs"] == [{"name": "sum", "datatype": "FP32", "shape": [2], "data": [3.0, 7.0]}]


async def test_bytes_out_where_the_request_wants_them(client):
    body = {"inputs": [tensor()], "parameters": {"binary_data_output": True}, "id": "7"}
    answer = await client.post(INFER, **message(body, X.tobytes()))
    assert answer.headers["content-type"] == "application/octet-stream"
    head, content = parts(answer)
    assert head["id"] == "7"
    assert head["outputs"] == [{"name": "sum", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]
    np.testing.assert_array_equal(np.frombuffer(content, np.float32), [3, 7])


async def test_json_and_bytes_in_one_message(client):
    body = {
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}},
            {"name": "count", "datatype": "INT64", "shape": [1], "data": [5]},
            {"name": "word", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ],
        "parameters": {"binary_data_output": True},
        "outputs": [
            {"name": "shout"},
            {"name": "doubled", "parameters": {"binary_data": False}},
            {"name": "total", "parameters": {"binary_data": True}},
        ],
    }
    content = np.array([1, 2, 3], np.float32).tobytes() + b"\x02\x00\x00\x00\xffy"
    head, rest = parts(await client.post("/v2/models/mixed/infer", **message(body, content)))
    assert [output.get("data") for output in head["outputs"]] == [None, [10], None]
    assert [output.get("parameters") for output in head["outputs"]] == [
        {"binary_data_size": 7},
        None,
        {"binary_data_size": 4},
    ]
    assert rest == b"\x03\x00\x00\x00\xffy!" + np.float32(6).tobytes()


async def test_a_body_may_be_nothing_but_the_one_input(client):
    answer = await client.post(INFER, content=np.arange(3, dtype=np.float32).tobytes(), headers={LENGTH: "0"})
    head, content = parts(answer)
    assert head["outputs"][0]["shape"] == [1]
    assert np.frombuffer(content, np.float32) == 3
    assert (await client.post(INFER, content=b"123", headers={LENGTH: "0"})).status_code == 400
    assert (await client.post("/v2/models/mixed/infer", content=b"1234", headers={LENGTH: "0"})).status_code == 400
    assert (await client.post("/v2/models/nobody/infer", content=b"1234", headers={LENGTH: "0"})).status_code == 404


async def test_classes_as_json_and_bytes(client):
    for binary in (True, False):
        wanted = {"name": "sum", "parameters": {"classification": 5, "binary_data": binary}}
        answer = await client.post(INFER, **message({"inputs": [tensor()], "outputs": [wanted]}, X.tobytes()))
        if binary:
            assert parts(answer)[1] == b"\x0a\x00\x00\x007.000000:1\x0a\x00\x00\x003.000000:0"
        else:
            assert answer.json()["outputs"][0]["data"] == ["7.000000:1", "3.000000:0"]


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (message({"inputs": [tensor()]}, X.tobytes(), length=-1), "header size should be in range (0, "),
        (message({"inputs": [tensor()]}, X.tobytes(), length=10**6), "header size should be in range (0, "),
        (message({"inputs": [tensor()]}, X.tobytes(), length="x" * 99), "got: xxxx"),
        (message({"inputs": [tensor()]}, X.tobytes(), length=5), "JSON"),
        (message({"inputs": [tensor()]}), "of 0 to 0 bytes"),
        (message({"inputs": [tensor(17)]}, X.tobytes()), "of 0 to 16 bytes"),
        (message({"inputs": [tensor(-1)]}, X.tobytes()), "of 0 to 16 bytes"),
        (message({"inputs": [tensor("16")]}, X.tobytes()), "'binary_data_size' to be an integer"),
        (message({"inputs": [tensor(12)]}, X.tobytes()[:12]), "expected 16 raw bytes"),
        (message({"inputs": [tensor()]}, X.tobytes() + b"!"), "unexpected additional input data: 1 bytes"),
        (message({"inputs": [tensor(data=[1, 2, 3, 4])]}, X.tobytes()), "got both"),
        (message({"inputs": [tensor(shape=[-2, -2])]}, X.tobytes()), "expected dimensions of 0 or more"),
        (message({"inputs": [tensor(parameters={"shared_memory_region": "r"})]}), "'shared_memory_region'"),
        (message({"inputs": [tensor()], "parameters": {"binary_data_output": 1}}, X.tobytes()), "true or false"),
        (message({"inputs": [tensor()], "parameters": {"triton_x": 1}}, X.tobytes()), "reserved"),
        (message({"inputs": [tensor()], "parameters": {"sequence_id": 1.5}}, X.tobytes()), "sequence_id"),
        (message({"inputs": [tensor()], "parameters": {"sequence_start": True}}, X.tobytes()), "non-empty correlation"),
        (
            message(
                {"inputs": [tensor()], "outputs": [{"name": "sum", "parameters": {"binary_data": 1}}]}, X.tobytes()
            ),
            "'binary_data' to be true or false",
        ),
    ],
)
async def test_bad_requests_say_what_was_expected(client, request_, complaint):
    answer = await client.post(INFER, **request_)
    assert answer.status_code == 400, answer.text
    assert complaint in answer.json()["error"]
    assert (await client.post(INFER, **message({"inputs": [tensor()]}, X.tobytes()))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/trace/setting"),
        ("POST", "/v2/models/sum/trace/setting"),
        ("GET", "/v2/logging"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/cudasharedmemory/region/r/register"),
    ],
)
async def test_what_is_refused_says_why(client, method, path):
    answer = await client.request(method, path)
    assert answer.status_code == 501
    assert "does not support" in answer.json()["error"]
