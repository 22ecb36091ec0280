"""Bodies in gzip and deflate, both ways, and bodies that only look like them."""

import gzip
import json
import time
import zlib

import numpy as np
import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

PREDICT = "/v1/models/sum:predict"
INFER = "/v2/models/sum/infer"
BODY = json.dumps({"instances": [[1, 2]]}).encode()
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
LIMIT = 2**20


def bare_deflate(body):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:5]) + gzip.compress(body[5:])),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
    ],
)
async def test_compressed_bodies_are_read(client, coding, compress):
    headers = {"content-encoding": coding}
    answer = await client.post(PREDICT, content=compress(BODY), headers=headers)
    assert answer.json() == {"predictions": [3.0]}
    answer = await client.post(INFER, content=compress(json.dumps({"inputs": [TENSOR]}).encode()), headers=headers)
    assert answer.json()["outputs"][0]["data"] == [3.0]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, bare_deflate])
async def test_a_bomb_is_refused(client, compress):
    coding = "gzip" if compress is gzip.compress else "deflate"
    answer = await client.post(PREDICT, content=compress(b" " * 50 * LIMIT), headers={"content-encoding": coding})
    assert answer.status_code == 413
    assert answer.json() == {"error": f"expected a body of at most {LIMIT} bytes, got more"}
    whole = BODY + b" " * (LIMIT - len(BODY))
    answer = await client.post(PREDICT, content=compress(whole), headers={"content-encoding": coding})
    assert answer.json() == {"predictions": [3.0]}


async def test_a_body_of_many_empty_members_is_refused_soon(client):
    began = time.monotonic()
    body = gzip.compress(b"") * (LIMIT // 20)
    answer = await client.post(PREDICT, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "expected a gzip body of at most 10000 members, got more"}
    assert time.monotonic() - began < 1.0


async def test_a_body_in_blocks_is_read(client):
    whole = BODY + b" " * (LIMIT - len(BODY))
    blocks = b"".join(gzip.compress(whole[start : start + 1000]) for start in range(0, LIMIT, 1000))
    answer = await client.post(PREDICT, content=blocks, headers={"content-encoding": "gzip"})
    assert answer.json() == {"predictions": [3.0]}


@pytest.mark.parametrize(
    ("coding", "body", "status", "complaint"),
    [
        ("gzip", BODY, 400, "do not decompress"),
        ("deflate", b"\xff" * 50, 400, "do not decompress"),
        ("gzip", gzip.compress(BODY)[:-9], 400, "ends early"),
        ("gzip", gzip.compress(BODY) + b"more", 400, "do not decompress"),
        ("gzip", b"", 400, "ends early"),
        ("br", BODY, 415, "expected a content-encoding of gzip, deflate or none, got 'br'"),
        ("gzip, gzip", BODY, 415, "got 'gzip, gzip'"),
    ],
)
async def test_what_does_not_decompress_is_refused(engine, client, coding, body, status, complaint):
    answer = await client.post(PREDICT, content=body, headers={"content-encoding": coding})
    assert answer.status_code == status
    assert complaint in answer.json()["error"]
    assert engine.refused == [("sum", "INVALID_ARGUMENT")]


@pytest.mark.parametrize(
    ("accepted", "rows", "coding"),
    [
        ("gzip", 1, "gzip"),
        ("deflate", 1, "deflate"),
        ("gzip, deflate, br", 1, None),
        ("gzip, deflate, br", 2000, "gzip"),
        ("gzip;q=0.5, deflate", 2000, "deflate"),
        ("gzip;q=0", 2000, None),
        ("br, *", 2000, None),
        ("identity", 2000, None),
        ("", 2000, None),
    ],
)
async def test_answers_are_compressed_where_that_is_asked_for_and_pays(engine, client, accepted, rows, coding):
    engine.outputs = {"sum": np.ones(rows, np.float32)}
    answer = await client.post(PREDICT, content=BODY, headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.json() == {"predictions": [1.0] * rows}
    if coding:
        assert answer.headers["vary"] == "accept-encoding"
        if rows > 1:
            assert int(answer.headers["content-length"]) < 200


async def test_of_the_open_inference_protocol_inferences_alone_are_compressed(client):
    headers = {"accept-encoding": "gzip"}
    inferred = await client.post(INFER, json={"inputs": [TENSOR]}, headers=headers)
    assert inferred.headers["content-encoding"] == "gzip"
    for path in ("/v2", "/v2/models/sum"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.headers.get("content-encoding")) == (200, None)
