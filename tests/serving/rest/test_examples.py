"""Classify and regress over HTTP: examples in JSON, and what is made of them."""

import json

import numpy as np
import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

CLASSIFY = "/v1/models/examples:classify"
REGRESS = "/v1/models/examples:regress"


@pytest.mark.parametrize(
    ("example", "value"),
    [
        ({"x": 1.5}, 1.5),
        ({"x": [1.5, 2.0]}, 3.5),
        ({"x": 1e3, "n": 2}, 1020),
        ({"n": [1, True, False]}, 20),
        ({"t": "abc"}, 300),
        ({"t": ["ab", {"b64": "/w=="}]}, 300),
        ({"t": {"b64": "YWJj"}, "x": [], "n": []}, 300),
        ({}, 0),
    ],
    ids=str,
)
async def test_features_of_every_kind(client, example, value):
    answer = await client.post(REGRESS, json={"signature_name": "value", "examples": [example, {"x": 0.25}]})
    assert answer.json() == {"results": [value, 0.25]}


async def test_features_that_are_not_finite(client):
    content = '{"signature_name": "value", "examples": [{"x": NaN}, {"x": -Infinity}, {"x": 0.1}]}'
    answer = await client.post(REGRESS, content=content)
    assert answer.text == '{"results":[NaN,-Infinity,0.1]}'


async def test_a_context_belongs_to_every_example_which_may_replace_its_features(client):
    body = {"signature_name": "value", "context": {"n": 1, "x": 5.0}, "examples": [{}, {"x": 2.0}, {"t": "a"}]}
    assert (await client.post(REGRESS, json=body)).json() == {"results": [15, 12, 115]}


async def test_classes_with_labels_and_scores(client):
    answer = await client.post(CLASSIFY, json={"examples": [{"x": 0.1}, {"x": 2.0}]})
    expected = {"results": [[["sum", 0.1], ["ÿ", -0.1]], [["sum", 2.0], ["ÿ", -2.0]]]}
    assert json.loads(answer.text) == expected
    for address in ("/versions/1", "/labels/stable"):
        answer = await client.post(f"/v1/models/examples{address}:classify", json={"examples": [{}]})
        assert answer.json() == {"results": [[["sum", 0], ["ÿ", 0]]]}


@pytest.mark.parametrize(
    ("signature", "expected"), [("labels", [["sum", 0], ["ÿ", 0]]), ("scores", [["", 2], ["", -2]])]
)
async def test_classes_without_labels_or_scores(client, signature, expected):
    answer = await client.post(CLASSIFY, json={"signature_name": signature, "examples": [{"x": 2.0}]})
    assert answer.json() == {"results": [expected]}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "JSON Value: [] Is not object"),
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"context": [{"x": 1.0}]}, "Example must be JSON object but got JSON Array"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [[1]]}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{}], "context": 1}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"a": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1, 2.5]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": [1.5, 2]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": ["a", True]}]}, "Unexpected element type in feature: x expecting type: bytes"),
        ({"examples": [{"n": 2**63}]}, "Feature: n has uint64 element. Only int64 is supported."),
        ({"examples": [{"x": 1e39}]}, "Cannot convert JSON value: 1e+39 to float without loss of precision"),
        ({"examples": [{"t": {"b64": "!"}}]}, "Unable to base64 decode"),
        ({"examples": [{}], "signature_name": 1}, "'signature_name' key must be a string value."),
        ({"examples": [{}], "signature_name": "s"}, "No signature was found with the name: s"),
        ({"examples": [{}], "signature_name": "two_inputs"}, "Expected one input Tensor."),
        ({"examples": [{}], "signature_name": "other_names"}, "No classification inputs found in SignatureDef"),
        ({"examples": [{}], "signature_name": "other_outputs"}, 'contain at least one of "classes" or "scores"'),
    ],
    ids=str,
)
async def test_bad_requests_say_what_was_expected(engine, client, body, complaint):
    answer = await client.post(CLASSIFY, json=body)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert [model for model, _ in engine.refused] == ["examples"]
    assert (await client.post(CLASSIFY, json={"examples": [{}]})).status_code == 200


@pytest.mark.parametrize("content", [r'{"examples": [{"\ud800": 1}]}', r'{"examples": [{"t": "\ud800"}]}'])
async def test_half_a_surrogate_pair_is_refused(client, content):
    assert (await client.post(CLASSIFY, content=content)).status_code == 400


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        (np.zeros((2, 2), np.float32), "either [batch_size] or [batch_size, 1] but got [2, 2]"),
        (np.zeros(3, np.float32), "Input batch size did not match output batch size: 2 vs. 3"),
        (np.zeros(2, np.float64), "Expected output Tensor of DT_FLOAT. Got: float64"),
    ],
)
async def test_a_model_that_regresses_in_another_form(engine, client, outputs, complaint):
    engine.outputs = {"outputs": outputs}
    answer = await client.post(REGRESS, json={"signature_name": "value", "examples": [{}, {}]})
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ({"scores": np.zeros(2, np.float32)}, "[batch_size num_classes] but got [2]"),
        ({"scores": np.zeros((2, 2), np.float64)}, "Expected scores Tensor of DT_FLOAT. Got: float64"),
        ({"scores": np.zeros((3, 2), np.float32)}, "Expected scores output batch size of 2. Got: 3"),
        ({"classes": np.zeros((2, 2), np.float32)}, "Expected classes Tensor of DT_STRING. Got: float32"),
        ({"scores": np.zeros((2, 3), np.float32)}, "should match in dim_size(1). Got 2 vs. 3"),
    ],
)
async def test_a_model_that_classifies_in_another_form(engine, client, outputs, complaint):
    labels = np.full((2, 2), b"a", dtype=object)
    engine.outputs = {"classes": labels, "scores": np.zeros((2, 2), np.float32), **outputs}
    answer = await client.post(CLASSIFY, json={"examples": [{}, {}]})
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
