import httpx
import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving.api.reading import read_body, read_json, read_upload
from serving.errors import InvalidInput

LIMIT = 1000


@pytest.fixture
async def client():
    async def body(request: Request) -> PlainTextResponse:
        return await _answer(read_body(request, LIMIT))

    async def upload(request: Request) -> PlainTextResponse:
        return await _answer(read_upload(request, "video", LIMIT))

    async def _answer(reading) -> PlainTextResponse:
        try:
            return PlainTextResponse(await reading)
        except InvalidInput as error:
            return PlainTextResponse(error.message, 400)

    app = Starlette(routes=[Route("/body", body, methods=["POST"]), Route("/upload", upload, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        yield client


async def test_a_body_comes_whole(client):
    assert (await client.post("/body", content=b"x" * LIMIT)).content == b"x" * LIMIT


async def test_a_body_over_the_limit_is_refused_by_its_declared_length(client):
    answer = await client.post("/body", content=b"x" * (LIMIT + 1))
    assert (answer.status_code, answer.text) == (400, "expected a body of at most 1,000 bytes, got 1,001")


async def test_a_body_over_the_limit_is_refused_as_it_comes(client):
    async def chunks():
        for _ in range(11):
            yield b"x" * 100

    answer = await client.post("/body", content=chunks())
    assert (answer.status_code, answer.text) == (400, "expected a body of at most 1,000 bytes, got more")


async def test_an_upload_comes_whole(client):
    answer = await client.post("/upload", files={"video": ("any.name", b"\0\xff" * 500)}, data={"note": "ignored"})
    assert answer.content == b"\0\xff" * 500


FORM = {"content-type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"files": {"video": b"x" * (LIMIT + 1)}}, "expected a file of at most 1,000 bytes, got 1,001"),
        ({"files": {"video": b"x" * 100_000}}, "expected a body of at most 66,536 bytes"),
        ({"files": {"clip": b"x"}}, "Received: the fields ['clip']"),
        ({"files": [("video", b"x"), ("video", b"x")]}, "Too many files"),
        ({"data": {"video": "http://127.0.0.1/"}, "files": {"other": b""}}, "text in that field; send the file itself"),
        ({"data": {"video": "x"}}, 'Received: content type "application/x-www-form-urlencoded"'),
        ({"content": b"raw"}, "with one file in the field 'video'. Received: content type \"\""),
        ({"json": {"video": "x"}}, 'Received: content type "application/json"'),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "and its boundary in the content type"),
        ({"content": b"x", "headers": FORM}, "Received: a broken form"),
        (
            {"content": b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n--edge--", "headers": FORM},
            "a broken form",
        ),
        ({"content": b"", "headers": FORM}, "Received: the fields []"),
    ],
)
async def test_other_uploads_are_refused_with_what_came(client, request_, message):
    answer = await client.post("/upload", **request_)
    assert answer.status_code == 400
    assert message in answer.text


class Thing(BaseModel):
    many: list[int]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"many": ["a", "b", "c"]}', "(and 2 more)"),
        (b'{"many": "' + b"x" * 1000 + b'"}', '. Received: "' + "x" * 60 + '…"'),
        (b"\xff\xfe", "expected a JSON body"),
        (b'{"many": [1], "many": ["\xff"]}', "expected a JSON body"),
        (b"[" * 10_000, "expected a JSON body"),
    ],
)
def test_what_came_is_shown_short(body, message):
    with pytest.raises(InvalidInput) as refused:
        read_json(Thing, body)
    assert message in refused.value.message
    assert len(refused.value.message) < 400
    assert "\n" not in refused.value.message
