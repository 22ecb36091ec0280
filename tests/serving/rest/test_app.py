"""What every path shares: routing, errors, limits, hang-ups, and being mounted."""

import asyncio
import logging
import threading
import time

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from serving import errors
from serving.rest import oip, oip_tensors, predict_json, tfserving
from serving.rest.app import build_app

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("engine")]

PREDICT = "/v1/models/sum:predict"
BODY = {"instances": [[1, 2]]}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("m"), 400),
        (errors.NotFound("m"), 404),
        (errors.FailedPrecondition("m"), 400),
        (errors.Overloaded("m"), 429),
        (errors.DeadlineExceeded("m"), 504),
        (errors.Unavailable("m"), 503),
        (errors.Unimplemented("m"), 501),
        (errors.Internal("m"), 500),
    ],
)
async def test_each_error_has_its_status(engine, client, error, status):
    engine.failure = error
    answer = await client.post(PREDICT, json=BODY)
    assert answer.status_code == status
    assert answer.json() == {"error": "m"}
    engine.failure = None
    assert (await client.post(PREDICT, json=BODY)).json() == {"predictions": [3.0]}


async def test_overload_says_when_to_come_back(engine, client):
    engine.failure = errors.Overloaded("full", retry_after=1.2)
    assert (await client.post(PREDICT, json=BODY)).headers["retry-after"] == "2"


async def test_an_unexpected_exception_is_logged_and_not_told(engine, client, caplog):
    engine.failure = KeyError("/secret/path")
    with caplog.at_level(logging.ERROR):
        answer = await client.post(PREDICT, json=BODY)
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert "/secret/path" in caplog.text
    assert f"a request for {PREDICT} failed" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("POST", "/v2/models/sum/versions/1/labels/x/infer", 404),
        ("GET", "/v2/models/sum/infer", 405),
        ("POST", "/v2/health/live", 405),
    ],
)
async def test_wrong_paths_and_methods(client, method, path, status):
    answer = await client.request(method, path, json=BODY if method == "POST" else None)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    if status == 405:
        assert answer.headers["allow"] in ("POST", "GET, HEAD", "HEAD, GET")


async def _pieces(count, size, pause=0.0):
    for _ in range(count):
        yield b" " * size
        await asyncio.sleep(pause)


async def test_a_body_over_the_limit_is_refused(client):
    answer = await client.post(PREDICT, content=b" " * (2**20 + 1))
    assert answer.status_code == 413
    assert answer.json() == {"error": "expected a body of at most 1048576 bytes, got 1048577"}
    assert (await client.post(PREDICT, json=BODY)).status_code == 200


async def test_a_chunked_body_is_bounded_while_it_is_read(client):
    assert (await client.post(PREDICT, content=_pieces(33, 2**15))).status_code == 413
    assert (await client.post(PREDICT, content=_pieces(32, 2**15))).status_code == 400
    assert (await client.post(PREDICT, json=BODY)).status_code == 200


async def test_a_large_body_in_pieces_arrives_whole(client):
    answer = await client.post(PREDICT, json={"instances": [[1] * 200_000]})
    assert answer.json() == {"predictions": [200_000]}


async def test_a_body_that_never_ends_is_given_up(client, engine, served):
    address = await served(build_app(engine, engine.control, body_timeout=0.1))
    answer = await client.post(address + PREDICT, content=_pieces(5, 1, pause=0.1))
    assert answer.status_code == 408
    assert "within 0.1 s" in answer.json()["error"]


async def test_a_caller_who_hangs_up_cancels_the_work(engine, client, caplog):
    engine.delay = 60
    with caplog.at_level(logging.INFO):
        with pytest.raises(httpx.ReadTimeout):
            await client.post(PREDICT, json=BODY, timeout=httpx.Timeout(30, read=0.5))
        await asyncio.wait_for(engine.cancelled.wait(), 5)
    assert "failed" not in caplog.text


async def test_a_caller_who_hangs_up_early_cancels_the_work(engine, client):
    engine.delay = 60
    address = client.base_url
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST /v1/models/sum:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n" + b'{"instances":[[1,2]]}'
    )
    await engine.begun()
    writer.close()
    await asyncio.wait_for(engine.cancelled.wait(), 5)
    del reader


async def test_slow_answers_are_given_all_the_same(engine, client):
    engine.delay = 0.3
    assert (await client.post(PREDICT, json=BODY)).json() == {"predictions": [3.0]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 1_000_000,
        b'{"a":' * 150_000,
        b"[" * 1_000_000 + b"NaN",
        b"\xff\xfe",
        b'{"instances": [[NaN]',
        b'{"instances": [[1e999]]}',
        b'{"instances": [[1,]]}',
        b'"NaN',
        b"9" * 100_000,
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
@pytest.mark.parametrize("path", [PREDICT, "/v2/models/sum/infer"])
async def test_malformed_json_is_refused_quickly(client, path, body):
    began = time.process_time()
    answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("JSON Parse error: ", "JSON Value: ", "expected a JSON object"))
    assert time.process_time() - began < 1
    assert (await client.post(PREDICT, json=BODY)).status_code == 200


async def test_the_app_runs_mounted_and_behind_a_root_path(engine, served):
    app = build_app(engine, engine.control)
    mounted = await served(Starlette(routes=[Mount("/models", app), Mount("/", app)]))
    behind_proxy = await served(app, root_path="/proxied")
    async with httpx.AsyncClient(verify=False) as client:
        for address in (mounted, f"{mounted}/models", behind_proxy):
            answer = await client.post(address + PREDICT, json=BODY)
            assert answer.json() == {"predictions": [3.0]}
            assert (await client.get(f"{address}/v2/health/live")).status_code == 200
            assert (await client.get(f"{address}/nothing")).status_code == 404


async def test_slow_and_large_bodies_are_counted(engine, client, served):
    await client.post(PREDICT, content=b" " * (2**20 + 1))
    address = await served(build_app(engine, engine.control, body_timeout=0.1))
    await client.post(f"{address}/v2/models/sum/infer", content=_pieces(5, 1, pause=0.1))
    assert engine.refused == [("sum", "INVALID_ARGUMENT"), ("sum", "DEADLINE_EXCEEDED")]


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/sum/infer"])
async def test_a_large_body_is_read_and_its_answer_written_off_the_event_loop(engine, client, monkeypatch, path):
    main = threading.get_ident()
    seen = []
    for module, name in ((tfserving, "parse"), (predict_json, "dump"), (oip, "parse"), (oip_tensors, "dump")):
        work = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, work=work: (seen.append(threading.get_ident() == main), work(*args))[1]
        )
    engine.outputs = {"sum": np.zeros(100_000, np.float32)}
    x = [[1.0] * 100_000]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 100_000], "data": x}
    answer = await client.post(path, json={"inputs": [tensor] if path != PREDICT else x})
    assert answer.status_code == 200
    assert seen == [False, False]
