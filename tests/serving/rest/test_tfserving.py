"""TF Serving's REST API: formats in and out, addresses, metadata, status, and bad requests."""

import asyncio
import json
import math
import time
from itertools import chain, repeat

import numpy as np
import pytest

from serving.engine import ModelMetadata
from serving.signature import Signature, TensorSpec

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

SUM = "/v1/models/sum:predict"
MIXED = "/v1/models/mixed:predict"
ROW = {"a": [1, 2, 3], "count": 5, "word": "hey"}
COLUMNS = {"a": [[1, 2, 3]], "count": [5], "word": ["hey"]}
ANSWER = {"total": 6.0, "doubled": 10, "shout": "hey!", "echo_bytes": {"b64": "aGV5"}}


async def predict(client, path, body):
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.text)


async def test_row_format_with_bare_values(client):
    assert await predict(client, SUM, {"instances": [[1, 2], [3.5, 4]]}) == {"predictions": [3.0, 7.5]}


async def test_row_format_with_named_values(client):
    assert await predict(client, SUM, {"instances": [{"x": [1, 2]}]}) == {"predictions": [3.0]}
    assert await predict(client, MIXED, {"instances": [ROW, ROW]}) == {"predictions": [ANSWER, ANSWER]}


async def test_column_format(client):
    assert await predict(client, SUM, {"inputs": [[1, 2]]}) == {"outputs": [3.0]}
    assert await predict(client, SUM, {"inputs": {"x": [[1, 2]]}}) == {"outputs": [3.0]}
    columns = {name: [value] for name, value in ANSWER.items()}
    assert await predict(client, MIXED, {"inputs": COLUMNS}) == {"outputs": columns}


@pytest.mark.parametrize(
    ("address", "version"), [("", 2), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1)]
)
async def test_a_version_or_a_label_in_the_path(client, address, version):
    await predict(client, f"/v1/models/sum{address}:predict", {"instances": [[1]]})
    (status,) = (await client.get(f"/v1/models/sum{address or '/versions/2'}")).json()["model_version_status"]
    assert status["version"] == str(version)
    metadata = (await client.get(f"/v1/models/sum{address}/metadata")).json()
    assert metadata["model_spec"]["version"] == str(version)


async def test_every_dtype_goes_both_ways(client, sample):
    dtype, array = sample
    if dtype == "string":
        inputs = [["", "ascii"], ["häkchen", {"b64": "AP8="}]]
    else:
        inputs = array.astype(float).tolist() if dtype == "bfloat16" else array.tolist()
    answer = await predict(client, "/v1/models/echo:predict", {"signature_name": dtype, "inputs": inputs})
    if dtype.startswith(("float", "bfloat")):
        assert answer["outputs"] == [pytest.approx(row, rel=1e-3) for row in inputs]
    else:
        assert answer["outputs"] == inputs


async def test_what_the_api_does_not_know_is_ignored(client):
    assert await predict(client, SUM, {"instances": [[1, 2]], "extra": 1}) == {"predictions": [3.0]}
    assert await predict(client, SUM, {"inputs": {"x": [[1, 2]], "y": "?"}}) == {"outputs": [3.0]}


@pytest.mark.parametrize("value", [0, -1, 2**24, 16777218, 1e30, 2**24 + 1.0])
async def test_whole_numbers_become_floats_where_that_loses_nothing(client, value):
    assert await predict(client, SUM, {"instances": [[value]]}) == {"predictions": [pytest.approx(value)]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SUM),
        ("DELETE", SUM),
        ("PUT", "/v1/models/sum"),
        ("POST", "/v1/models/sum"),
        ("POST", "/v1/models/sum:explain"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/sum/"),
        ("GET", "/v1/models/sum/versions"),
        ("GET", "/v1/models/sum/versions/1/labels/stable"),
    ],
)
async def test_what_is_no_request_is_called_malformed(client, method, path):
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (400, {"error": f"Malformed request: {method} {path}"})


async def test_the_case_of_a_path_does_not_matter_but_that_of_a_name_does(client):
    assert (await client.post("/V1/Models/sum:Predict", json={"instances": [[1, 2]]})).status_code == 200
    assert (await client.get("/v1/models/SUM")).status_code == 404


async def test_no_model_at_all(client):
    answer = await client.get("/v1/models")
    assert (answer.status_code, answer.json()) == (400, {"error": "Missing model name in request."})


async def test_base64_strings(client):
    body = {"signature_name": "string", "instances": [{"b64": "aGV5"}, "hey", {"b64": "aA=="}, {"b64": "a\nA"}]}
    assert await predict(client, "/v1/models/echo:predict", body) == {"predictions": ["hey", "hey", "h", "h"]}


async def test_scalars_and_empty_lists(client):
    for dtype, value in (("float32", 1.5), ("int64", []), ("bool", [[], []]), ("string", "one"), ("string", [[]])):
        body = {"signature_name": dtype, "inputs": value}
        if value in ([],):
            answer = await client.post("/v1/models/echo:predict", json=body)
            assert answer.status_code == 400
        else:
            assert await predict(client, "/v1/models/echo:predict", body) == {"outputs": value}


async def test_nan_and_infinity_go_both_ways_as_tensorflow_serving_writes_them(client):
    content = '{"signature_name": "float32", "instances": [NaN, Infinity, -Infinity, 0.2]}'
    answer = await client.post("/v1/models/echo:predict", content=content)
    assert answer.text == '{"predictions":[NaN,Infinity,-Infinity,0.2]}'
    first, *others = json.loads(answer.text)["predictions"]
    assert math.isnan(first)
    assert others == [math.inf, -math.inf, 0.2]


async def test_the_words_nan_and_infinity_in_strings_are_only_words(client):
    body = {"signature_name": "string", "instances": ["NaN", "-Infinity"]}
    assert await predict(client, "/v1/models/echo:predict", body) == {"predictions": ["NaN", "-Infinity"]}


async def test_status_lists_versions(client):
    answer = (await client.get("/v1/models/sum")).json()
    ok = {"error_code": "OK", "error_message": ""}
    assert answer == {
        "model_version_status": [
            {"version": "2", "state": "AVAILABLE", "status": ok},
            {"version": "1", "state": "AVAILABLE", "status": ok},
        ]
    }


async def test_metadata_has_tensorflow_servings_shape(client):
    answer = (await client.get("/v1/models/sum/metadata")).json()

    def info(name, *sizes):
        dims = [{"size": size, "name": ""} for size in sizes]
        return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{name}:0"}

    assert answer == {
        "model_spec": {"name": "sum", "signature_name": "", "version": "2"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": info("x", "-1", "-1")},
                        "outputs": {"sum": info("sum", "-1")},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }


@pytest.mark.parametrize(
    ("path", "status", "complaint"),
    [
        ("/v1/models/nobody", 404, "nobody"),
        ("/v1/models/nobody/metadata", 404, "Latest(nobody)"),
        ("/v1/models/sum/versions/3", 404, "3"),
        ("/v1/models/sum/versions/3/metadata", 404, "Specific(sum, 3)"),
        ("/v1/models/sum/labels/x/metadata", 400, "Unrecognized servable version label: x"),
        ("/v1/models/sum/labels/x", 400, "Unrecognized servable version label: x"),
        ("/v1/models/sum/versions/one", 400, "Malformed request: "),
        ("/v1/models/sum/versions/-1", 400, "Malformed request: "),
        ("/v1/models/sum/versions/9223372036854775808", 400, "Failed to convert version: 9223372036854775808 to num"),
        ("/v1/models/sum/versions/" + "1" * 5000, 400, "Failed to convert version: 1111"),
    ],
)
async def test_unknown_addresses(client, path, status, complaint):
    answer = await client.get(path)
    assert answer.status_code == status
    assert complaint in answer.json()["error"]
    answer = await client.post(f"{path.removesuffix('/metadata')}:predict", json={"instances": [[1]]})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "body", "status", "complaint"),
    [
        (SUM, [], 400, "JSON Value: [] Is not object"),
        (SUM, {}, 400, "Missing 'inputs' or 'instances' key"),
        (SUM, {"instances": [[1]], "inputs": [[1]]}, 400, "expecting only one of 'inputs' or 'instances'"),
        (SUM, {"instances": [[1]], "signature_name": 1}, 400, "'signature_name' key must be a string value."),
        (SUM, {"instances": [[1]], "signature_name": "s"}, 400, 'signature name: "s" not found in signature def'),
        (SUM, {"instances": []}, 400, "No values in 'instances' array"),
        (SUM, {"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
        (SUM, {"inputs": []}, 400, "x"),
        (SUM, {"instances": [1]}, 400, "float32 [?, ?]"),
        (SUM, {"instances": [[[1]]]}, 400, "float32 [?, ?]"),
        (SUM, {"instances": [[1], [1, 2]]}, 400, "got lists of unequal lengths"),
        (SUM, {"instances": [[1], 2]}, 400, "got lists of unequal lengths"),
        (SUM, {"instances": [[1, None]]}, 400, "expected float32 [?, ?], got null in it"),
        (SUM, {"instances": [[1, "2"]]}, 400, 'got "2" in it'),
        (SUM, {"instances": [[1, "x" * 1000]]}, 400, 'got "xxxx'),
        (SUM, {"instances": [[1, True]]}, 400, "got true in it"),
        (SUM, {"instances": [[1, {"b64": "aGV5"}]]}, 400, "got an object in it"),
        (SUM, {"instances": [[1e39]]}, 400, "got 1e+39 in it"),
        (
            SUM,
            {"instances": [{"y": [1]}]},
            400,
            "0 key: y of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: y",
        ),
        (SUM, {"instances": [{"x": [1]}, [1]]}, 400, "Expecting object but got list at item 1 of input list"),
        (SUM, {"instances": [[1], {"x": [1]}]}, 400, "Expecting value/list but got object at item 1"),
        (SUM, {"inputs": {"y": [[1]]}}, 400, "Missing named input: x in 'inputs' object"),
        (MIXED, {"inputs": [1]}, 400, "inputs is a plain value/list, but expecting an object"),
        (MIXED, {"instances": [1]}, 400, "instances is a plain list, but expecting list of objects"),
        (SUM, {"instances": [[2**24 + 1]]}, 400, "Cannot convert JSON value: 16777217 to float without loss"),
        (SUM, {"instances": [["2"]]}, 400, 'JSON Value: "2" Type: String is not of expected type: float'),
        (MIXED, {"inputs": {**COLUMNS, "count": [1.5]}}, 400, "expected int64 [?], got 1.5 in it"),
        (MIXED, {"inputs": {**COLUMNS, "count": [2**63]}}, 400, "got 9223372036854775808 in it"),
        (MIXED, {"inputs": {**COLUMNS, "word": [5]}}, 400, "expected string [?], got 5 in it"),
        (MIXED, {"inputs": {**COLUMNS, "word": [{"b64": "!"}]}}, 400, "expected a string, got an object"),
        (MIXED, {"inputs": {**COLUMNS, "word": [{"b64": "ü"}]}}, 400, "Unable to base64 decode"),
        (MIXED, {"inputs": {**COLUMNS, "word": [{"b64": "aGV5", "x": 1}]}}, 400, "got an object in it"),
        (MIXED, {"inputs": {**COLUMNS, "word": ["a", ["b"]]}}, 400, "got lists of unequal lengths"),
        (MIXED, {"inputs": {**COLUMNS, "a": [[1, 2]]}}, 400, "a"),
        (MIXED, {"instances": [{"a": [1, 2, 3]}]}, 400, "Failed to process element: 0 of 'instances' list"),
        ("/v1/models/echo:predict", {"signature_name": "int8", "inputs": [-129]}, 400, "got -129 in it"),
        ("/v1/models/echo:predict", {"signature_name": "uint64", "inputs": [-1]}, 400, "got -1 in it"),
        ("/v1/models/echo:predict", {"signature_name": "bool", "inputs": [1]}, 400, "got 1 in it"),
        ("/v1/models/echo:predict", {"signature_name": "float32", "instances": 3}, 400, "to be an list/array"),
    ],
)
async def test_bad_requests_say_what_was_expected(client, path, body, status, complaint):
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert complaint in answer.json()["error"]
    assert len(answer.content) < 500
    assert (await client.post(SUM, json={"instances": [[1, 2]]})).json() == {"predictions": [3.0]}


@pytest.mark.parametrize("depth", [33, 60, 70, 1000])
async def test_deep_lists_are_refused(client, depth):
    for dtype, leaf in (("float32", "1"), ("string", '"a"')):
        content = f'{{"signature_name": "{dtype}", "inputs": {"[" * depth}{leaf}{"]" * depth}}}'
        answer = await client.post("/v1/models/echo:predict", content=content)
        assert answer.status_code == 400
        assert "deep" in answer.json()["error"]


async def test_a_half_surrogate_pair_is_refused(client):
    content = r'{"signature_name": "string", "inputs": ["\ud800", "NaN"]}'
    answer = await client.post("/v1/models/echo:predict", content=content)
    assert answer.status_code == 400


async def test_looking_for_a_bad_value_among_many_does_not_take_long(client):
    content = '{"instances": [[' + "1," * 400_000 + '"x"]]}'
    began = time.process_time()
    answer = await client.post(SUM, content=content)
    assert answer.status_code == 400
    assert time.process_time() - began < 1


async def test_a_request_waits_for_the_models_of_the_start(engine, client):
    engine.loaded.clear()
    answer = asyncio.create_task(client.post(SUM, json={"instances": [[1, 2]]}))
    await asyncio.sleep(0.3)
    assert engine.requests == []
    engine.loaded.set()
    assert (await answer).json() == {"predictions": [3.0]}


@pytest.mark.parametrize("columns", [10, 100_000])
async def test_inputs_and_signature_are_those_of_one_version(engine, client, monkeypatch, columns):
    looks = chain([("float32", 1)], repeat(("int64", 2)))

    def metadata(model, *_):
        dtype, number = next(looks)
        spec = TensorSpec("x", dtype, (None, None))
        return ModelMetadata(model, number, {"serving_default": Signature("serving_default", "", {"x": spec}, {})})

    monkeypatch.setattr(engine, "metadata", metadata)
    await client.post(SUM, json={"instances": [[1] * columns]})
    (request,) = engine.requests
    assert (request.version, request.inputs["x"].dtype) == (2, np.int64)
