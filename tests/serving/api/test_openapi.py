"""The typed endpoints in a real BentoML app: what its OpenAPI page says, and that the app takes what the page says."""

import bentoml
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.api.classes import ClassAnswer
from serving.api.forecast import ForecastReply, ForecastRequest, forecast
from serving.api.reading import read_body, read_json, read_upload
from serving.api.sketch import SketchRequest, classify_sketch
from serving.api.video import FIELD, MAX_BYTES, VideoUpload, classify_video
from serving.errors import InvalidInput


def described(model):
    """Make a class that shows `model` on the page and hands the method the request as it came."""

    async def from_http_request(_cls, request, _serde):
        return request

    members = {"__module__": __name__, "__doc__": model.__doc__, "__root_input__": True}
    members["from_http_request"] = classmethod(from_http_request)
    return type(model.__name__, (bentoml.IODescriptor, model), members)


@pytest.fixture
async def client(engine):
    async def answered(answer) -> Response:
        try:
            return Response((await answer()).model_dump_json(), media_type="application/json")
        except InvalidInput as error:
            return JSONResponse({"error": error.message}, 400)

    @bentoml.service(name="typed", metrics={"enabled": False})
    class Service:
        @bentoml.api(input_spec=described(ForecastRequest), output_spec=described(ForecastReply))
        async def forecast(self, request: Request, /) -> Response:
            async def answer():
                return await forecast(
                    engine, read_json(ForecastRequest, await read_body(request, MAX_BYTES)), timeout=5
                )

            return await answered(answer)

        @bentoml.api(input_spec=described(SketchRequest), output_spec=described(ClassAnswer))
        async def classify_sketch(self, request: Request, /) -> Response:
            async def answer():
                return await classify_sketch(
                    engine, read_json(SketchRequest, await read_body(request, MAX_BYTES)), timeout=5
                )

            return await answered(answer)

        @bentoml.api(input_spec=described(VideoUpload), output_spec=described(ClassAnswer))
        async def classify_video(self, request: Request, /) -> Response:
            async def answer():
                return await classify_video(engine, await read_upload(request, FIELD, MAX_BYTES), timeout=20)

            return await answered(answer)

    app = Service.to_asgi()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client,
    ):
        yield client


@pytest.fixture
async def page(client):
    answer = await client.get("/docs.json")
    assert answer.status_code == 200, answer.text
    return answer.json()


def body_of(page, path, kind="application/json"):
    return page["paths"][path]["post"]["requestBody"]["content"][kind]["schema"]


def answer_of(page, path):
    return page["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]


async def test_the_page_describes_every_field(page):
    schemas = [
        body_of(page, "/forecast"),
        body_of(page, "/classify_sketch"),
        body_of(page, "/classify_video", "multipart/form-data"),
        page["components"]["schemas"]["Forecast"],
        answer_of(page, "/classify_sketch"),
    ]
    for schema in schemas:
        for name, field in schema["properties"].items():
            assert field.get("description"), f"{schema['title']}.{name} has no description"


async def test_the_page_knows_both_forms_of_a_forecast(page):
    body = body_of(page, "/forecast")
    assert set(body["properties"]) == {"values", "last_date", "country", "subdiv", "series"}
    assert body["properties"]["values"]["items"] == {"type": "number", "nullable": True}
    assert body["properties"]["series"]["items"] == {"$ref": "#/components/schemas/Series"}
    forms = [form["$ref"].rpartition("/")[2] for form in answer_of(page, "/forecast")["oneOf"]]
    assert forms == ["ForecastAnswer", "ForecastsAnswer"]
    assert set(forms) | {"Series", "Forecast"} <= set(page["components"]["schemas"])


async def test_the_page_asks_for_a_file(page):
    field = body_of(page, "/classify_video", "multipart/form-data")["properties"]["video"]
    assert (field["type"], field["format"]) == ("string", "binary")


@pytest.mark.parametrize("path", ["/forecast", "/classify_sketch"])
async def test_the_example_of_the_page_is_answered(client, page, path):
    answer = await client.post(path, json=body_of(page, path)["example"])
    assert answer.status_code == 200
    assert answer.json().keys() == answer_of(page, path)["example"].keys()


async def test_every_reference_of_the_page_leads_somewhere(page):
    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    known = {f"#/components/schemas/{name}" for name in page["components"]["schemas"]}
    assert set(references(page)) <= known


async def test_a_clip_is_uploaded_as_a_form(client, clip):
    answer = await client.post("/classify_video", files={"video": ("clip.mp4", clip(), "video/mp4")})
    assert answer.status_code == 200
    assert answer.json()["classes"][0] == {"label": "cat", "score": 0.9}


@pytest.mark.parametrize(
    ("path", "request_", "message"),
    [
        ("/forecast", {"content": b"{"}, "expected a JSON body"),
        ("/forecast", {"files": {"values": b"1"}}, "expected a JSON body"),
        ("/forecast", {"data": {"values": "1"}}, "expected a JSON body"),
        ("/classify_sketch", {"json": {"drawing": []}}, "expected at least one point"),
        ("/classify_video", {"data": {"video": "http://127.0.0.1/x"}}, "expected a multipart/form-data body"),
        ("/classify_video", {"files": {"video": ("clip.mp4", b"text", "video/mp4")}}, "Received: 4 bytes of text"),
        ("/classify_video", {"files": {"video": ("clip.mp4", b"", "video/mp4")}}, "Received: an empty file"),
        (
            "/classify_video",
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            "broken",
        ),
    ],
)
async def test_what_is_wrong_is_told_and_the_next_request_is_served(client, path, request_, message):
    refused = await client.post(path, **request_)
    assert refused.status_code == 400
    assert list(refused.json()) == ["error"]
    assert message in refused.json()["error"]
    assert (await client.post("/classify_sketch", json={"strokes": [[1, 1, 1]]})).status_code == 200
