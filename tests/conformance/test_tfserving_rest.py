"""TF Serving's REST API, driven over plain HTTP."""

import gzip
import json
import math

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.rest, timeout=60, verify=False) as client:
        yield client


def post(client, path, body, status=200):
    answer = client.post(f"/v1/models/{path}", content=body if isinstance(body, bytes) else json.dumps(body))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.text)


@pytest.mark.parametrize("which", ["", "/versions/2", "/versions/0"])
def test_predict_in_rows_and_columns(client, which):
    rows, columns = {"instances": [[1, 1, 1], [0, 1.5, 0]]}, {"inputs": {"x": [[1, 1, 1]]}}
    assert post(client, f"affine{which}:predict", rows) == {"predictions": [8.0, 5.0]}
    assert post(client, f"affine{which}:predict", {"instances": [{"x": [1, 1, 1]}]}) == {"predictions": [8.0]}
    assert post(client, f"affine{which}:predict", columns) == {"outputs": [8.0]}
    assert post(client, f"affine{which}:predict", {"inputs": [[1, 1, 1]]}) == {"outputs": [8.0]}


def test_predict_with_several_inputs_and_outputs(client):
    rows = {"signature_name": "arithmetic", "instances": [{"a": [3, 1], "b": [1, 1]}]}
    assert post(client, "several:predict", rows) == {"predictions": [{"sum": [4.0, 2.0], "difference": [2.0, 0.0]}]}
    columns = {"signature_name": "arithmetic", "inputs": {"a": [[3, 1]], "b": [[1, 1]]}}
    assert post(client, "several:predict", columns) == {"outputs": {"sum": [[4.0, 2.0]], "difference": [[2.0, 0.0]]}}


def test_strings_and_bytes(client):
    answer = post(client, "text:predict", {"instances": ["ab", {"b64": "/w=="}]})
    assert answer["predictions"][0] == {"upper": "AB", "length": 2, "echo_bytes": {"b64": "YWI="}}
    assert answer["predictions"][1]["echo_bytes"] == {"b64": "/w=="}


def test_models_without_a_batch(client):
    assert post(client, "scalar:predict", {"inputs": 1.5}) == {"outputs": 2.5}
    assert post(client, "vector:predict", {"inputs": [2, 3, 6]}) == {"outputs": {"norm": 7.0, "x": [2.0, 3.0, 6.0]}}
    complaint = post(client, "unranked:predict", {"instances": [1.0]}, 400)["error"]
    assert "rank has no shape information" in complaint


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [0.1, -2.0, 1e30]),
        ("float64", [0.1, 1e300]),
        ("float16", [0.5]),
        ("bfloat16", [0.5]),
        ("int8", [-128, 127]),
        ("uint8", [255]),
        ("int32", [-(2**31)]),
        ("int64", [2**63 - 1]),
        ("uint64", [2**64 - 1]),
        ("bool", [True, False]),
        ("string", ["", "ü"]),
    ],
)
def test_types_that_json_carries(client, dtype, values):
    body = {"signature_name": dtype, "inputs": values}
    assert post(client, "echo:predict", body) == {"outputs": values}


def test_nan_and_infinity(client):
    body = b'{"signature_name": "float32", "inputs": [NaN, Infinity, -Infinity]}'
    first, *others = post(client, "echo:predict", body)["outputs"]
    assert math.isnan(first)
    assert others == [math.inf, -math.inf]


def test_classify_and_regress(client):
    body = {"signature_name": "classify_words", "examples": [{"x": 1.0}, {"x": [2.0]}]}
    assert post(client, "half_plus_two:classify", body) == {
        "results": [[["low", -2.5], ["high", 2.5]], [["low", -3.0], ["high", 3.0]]]
    }
    body = {"signature_name": "regress_x_to_y", "context": {"x": 4.0}, "examples": [{}, {"x": 2.0}]}
    assert post(client, "half_plus_two/versions/123:regress", body) == {"results": [4.0, 3.0]}
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}
    assert post(client, "half_plus_two:classify", body) == {"results": [[["", 2.5]]]}


def test_features_that_a_graph_parses_may_be_fed_in_other_shapes(client):
    for rows in ([1.0, 2.0, 5.0], [[1.0, 2.0], [3.0, 4.0]], [[1.0], [2.0]]):
        expected = (np.array(rows) / 2 + 2).tolist()
        assert post(client, "half_plus_two:predict", {"instances": rows}) == {"predictions": expected}
        assert post(client, "half_plus_two:predict", {"inputs": {"x": rows}}) == {"outputs": expected}
    assert post(client, "half_plus_two:predict", {"inputs": 2.0}) == {"outputs": 3.0}


def test_gzip_both_ways(client):
    body = gzip.compress(json.dumps({"inputs": [[1, 1, 1]] * 500}).encode())
    headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = client.post("/v1/models/affine:predict", content=body, headers=headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == {"outputs": [8.0] * 500}
    bomb = gzip.compress(b" " * 100 * 2**20)
    answer = client.post("/v1/models/affine:predict", content=bomb, headers=headers)
    assert answer.status_code == 413
    assert "error" in answer.json()


def test_status(client):
    ok = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "123", "state": "AVAILABLE", "status": ok}]}
    for path in ("/v1/models/half_plus_two", "/v1/models/half_plus_two/versions/123"):
        assert client.get(path).json() == expected
    (failed,) = client.get("/v1/models/broken").json()["model_version_status"]
    assert (failed["version"], failed["state"]) == ("1", "END")
    assert failed["status"]["error_code"] != "OK"
    assert "SavedModel" in failed["status"]["error_message"]


def test_metadata(client):
    answer = client.get("/v1/models/affine/metadata").json()
    assert answer["model_spec"] == {"name": "affine", "signature_name": "", "version": "2"}
    default = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    x = default["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}], "unknown_rank": False}
    assert client.get("/v1/models/affine/versions/2/metadata").json() == answer


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "nobody:predict", '{"instances": [1]}', 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "affine/versions/9:predict", '{"instances": [1]}', 404, "request: Specific(affine, 9)"),
        ("POST", "affine/labels/x:predict", '{"instances": [1]}', 400, "Unrecognized servable version label: x"),
        ("POST", "affine:predict", "", 400, "JSON Parse error: The document is empty"),
        ("POST", "affine:predict", "{", 400, "JSON Parse error: "),
        ("POST", "affine:predict", "[]", 400, "Is not object"),
        ("POST", "affine:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "affine:predict", '{"instances": [["a", 1, 1]]}', 400, "is not of expected type: float"),
        ("POST", "affine:predict", '{"instances": [[1, 1]]}', 400, "[?, 3]"),
        ("POST", "affine:predict", '{"signature_name": "s", "instances": [1]}', 400, 'signature name: "s" not found'),
        ("POST", "half_plus_two:regress", '{"examples": []}', 400, "is an empty array"),
        ("POST", "half_plus_two:classify", '{"examples": [{}]}', 400, "No classification inputs found"),
        ("POST", "affine:explain", "{}", 400, "Malformed request: POST /v1/models/affine:explain"),
        ("GET", "affine:predict", None, 400, "Malformed request: GET /v1/models/affine:predict"),
        ("GET", "nobody", None, 404, "Could not find any versions of model nobody"),
        ("GET", "affine/versions/9", None, 404, "Could not find version 9 of model affine"),
        ("GET", "nobody/metadata", None, 404, "Servable not found for request: Latest(nobody)"),
    ],
)
def test_refusals_in_words_that_clients_know(client, method, path, body, status, words):
    answer = client.request(method, f"/v1/models/{path}", content=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
