"""The Open Inference Protocol over HTTP."""

import pytest

from serving.datatypes import BY_NAME

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

INFER = "/v2/models/sum/infer"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}


def body(**changes):
    return {"inputs": [{**TENSOR, **changes}]}


async def test_live_ready_and_metadata_of_the_server(engine, client):
    for path in ("/v2", "/v2/"):
        assert (await client.get(path)).json()["name"] == "seqserve"
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"live": True, "ready": True}
    engine.is_ready = False
    assert (await client.get("/v2/health/live")).status_code == 200
    refused = await client.get("/v2/health/ready")
    assert (refused.status_code, refused.json()) == (400, {"error": "Server not ready"})


@pytest.mark.parametrize(
    ("address", "status"), [("sum", 200), ("sum/versions/1", 200), ("sum/versions/3", 400), ("nobody", 400)]
)
async def test_ready_of_a_model(client, address, status):
    answer = await client.get(f"/v2/models/{address}/ready")
    assert answer.status_code == status
    assert answer.json() == ({"name": "sum", "ready": True} if status == 200 else {"error": "Model version not ready"})


@pytest.mark.parametrize("address", ["mixed", "mixed/versions/1"])
async def test_metadata_of_a_model(client, address):
    answer = (await client.get(f"/v2/models/{address}")).json()
    assert answer["name"] == "mixed"
    assert answer["versions"] == ["1", "2"]
    assert answer["platform"] == "tensorflow_savedmodel"
    inputs = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in answer["inputs"]}
    assert inputs == {"a": ("FP32", [-1, 3]), "count": ("INT64", [-1]), "word": ("BYTES", [-1])}


async def test_metadata_of_what_is_not_there(client):
    assert (await client.get("/v2/models/nobody")).status_code == 404
    answer = await client.get("/v2/models/echo")
    assert answer.status_code == 400
    assert "serving_default" in answer.json()["error"]


@pytest.mark.parametrize("data", [[[1, 2], [3, 4]], [1, 2, 3, 4]])
async def test_infer_takes_nested_and_flat_data(client, data):
    answer = await client.post(INFER, json={"id": "r-17", **body(data=data)})
    assert answer.json() == {
        "model_name": "sum",
        "model_version": "2",
        "id": "r-17",
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [2], "data": [3.0, 7.0]}],
    }


async def test_infer_takes_a_version_and_requested_outputs(client):
    request = {
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
            {"name": "count", "datatype": "INT64", "shape": [1], "data": [5]},
            {"name": "word", "datatype": "BYTES", "shape": [1], "data": ["hey"]},
        ],
        "outputs": [{"name": "shout"}, {"name": "doubled"}],
    }
    answer = (await client.post("/v2/models/mixed/versions/1/infer", json=request)).json()
    assert answer["model_version"] == "1"
    assert [(output["name"], output["data"]) for output in answer["outputs"]] == [
        ("shout", ["hey!"]),
        ("doubled", [10]),
    ]


async def test_every_datatype_goes_both_ways(client, sample):
    dtype, array = sample
    data = ["", "ascii", "häkchen", "x"] if dtype == "string" else array.astype("O").ravel().tolist()
    tensor = {"name": "x", "datatype": BY_NAME[dtype].oip_name, "shape": [2, 2]}
    if dtype == "bfloat16":
        data = [float(value) for value in data]
    request = {"inputs": [{**tensor, "data": data}], "parameters": {"signature_name": dtype}}
    (output,) = (await client.post("/v2/models/echo/infer", json=request)).json()["outputs"]
    assert (output["datatype"], output["shape"]) == (tensor["datatype"], [2, 2])
    assert output["data"] == (pytest.approx(data, rel=1e-3) if "float" in dtype else data)


@pytest.mark.parametrize(
    ("path", "request_", "status", "complaint"),
    [
        ("/v2/models/nobody/infer", body(), 404, "Latest(nobody)"),
        ("/v2/models/sum/versions/3/infer", body(), 404, "Specific(sum, 3)"),
        ("/v2/models/sum/versions/x/infer", body(), 400, "got 'x'"),
        (INFER, [], 400, "expected a JSON object"),
        (INFER, {}, 400, "x"),
        (INFER, {"inputs": {}}, 400, "expected 'inputs' to be a list"),
        (INFER, {"inputs": [1]}, 400, "expected each of 'inputs' to be an object"),
        (INFER, {**body(), "id": 5}, 400, "expected 'id' to be a string"),
        (INFER, {**body(), "outputs": ["sum"]}, 400, "expected each of 'outputs' to be an object"),
        (INFER, {**body(), "outputs": [{"name": "product"}]}, 400, "product"),
        (
            INFER,
            {**body(), "outputs": [{"name": "sum", "parameters": {"classification": -1}}]},
            400,
            "expected 'classification' to be 0 or more",
        ),
        (INFER, {**body(), "parameters": {"signature_name": "s"}}, 404, "'s'"),
        (INFER, {"inputs": [TENSOR, TENSOR]}, 400, "got it twice"),
        (INFER, {"inputs": [{"name": "x", "datatype": "FP32"}]}, 400, "expected 'shape' to be a list"),
        (INFER, {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, 400, "in 'data'"),
        (INFER, body(name="y"), 400, "x"),
        (INFER, body(datatype="FLOAT"), 400, "got 'FLOAT'"),
        (INFER, body(datatype="FP64"), 400, "float64"),
        (INFER, body(datatype="INT8", data=[1, 2, 3, 200]), 400, "got 200 in it"),
        (INFER, body(shape=[2, 3]), 400, "expected 6 values, flat or of shape [2, 3], got shape [2, 2]"),
        (INFER, body(shape=[4, 1]), 400, "got shape [2, 2]"),
        (INFER, body(shape=[10**12, 2]), 400, "expected 2000000000000 values"),
        (INFER, body(shape=[-1, 2]), 400, "got shape [-1, 2]"),
        (INFER, body(shape=[2.0, 2]), 400, "a list of integers"),
        (INFER, body(shape=[1] * 33), 400, "expected at most 32 dimensions"),
        (INFER, body(data=[1, 2, 3, None]), 400, "got null in it"),
        (INFER, body(data=[[1], [2, 3]]), 400, "unequal lengths"),
        (INFER, body(shape=[0, 2], data=[]), 400, "x"),
        (INFER, body(shape=[0, 2**62, 3], data=[]), 400, "got a larger one"),
        (INFER, body(shape=[0, 2**50, 2**50], data=[]), 400, "expected a shape of at most"),
    ],
)
async def test_bad_requests_say_what_was_expected(client, path, request_, status, complaint):
    answer = await client.post(path, json=request_)
    assert answer.status_code == status, answer.text
    assert complaint in answer.json()["error"]
    assert (await client.post(INFER, json=body())).status_code == 200


async def test_numbers_beyond_every_float_are_only_large(client):
    tensor = b'{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [NaN]}'
    request = b'{"inputs": [%s], "parameters": {"timeout": %s}}' % (tensor, b"9" * 400)
    assert (await client.post(INFER, content=request)).status_code == 200
