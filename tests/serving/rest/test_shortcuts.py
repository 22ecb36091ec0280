"""Requests find their endpoint as the routes say, the first time and ever after."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from serving.rest import shortcuts
from serving.rest.shortcuts import Shortcuts


class Echo:
    def __init__(self, name):
        self.name = name

    async def __call__(self, scope, receive, send):
        await PlainTextResponse(f"{self.name} {scope['path_params']}")(scope, receive, send)


def app():
    return Shortcuts(
        Starlette(
            routes=[
                Route("/m/{model}", Echo("get"), methods=["GET"]),
                Route("/m/{model}", Echo("post"), methods=["POST"]),
            ]
        )
    )


@pytest.fixture
def client():
    made = []

    def make(served):
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app=served), base_url="http://t"))
        return made[-1]

    return make


async def test_a_path_goes_where_its_method_and_model_say_each_time(client):
    asked = client(app())
    for _ in range(2):
        assert (await asked.get("/m/a")).text == "get {'model': 'a'}"
        assert (await asked.post("/m/a")).text == "post {'model': 'a'}"
        assert (await asked.get("/m/b")).text == "get {'model': 'b'}"


async def test_unknown_paths_and_methods_are_the_apps(client):
    asked = client(app())
    for _ in range(2):
        assert (await asked.get("/n")).status_code == 404
        assert (await asked.put("/m/a")).status_code == 405


async def test_below_a_mount_its_own_path_counts(client):
    asked = client(Starlette(routes=[Mount("/below", app())]))
    for _ in range(2):
        assert (await asked.get("/below/m/a")).text == "get {'model': 'a'}"


async def test_paths_that_are_made_up_fill_no_memory(client, monkeypatch):
    monkeypatch.setattr(shortcuts, "_MOST", 10)
    served = app()
    asked = client(served)
    for i in range(30):
        assert (await asked.get(f"/m/{i}")).text == f"get {{'model': '{i}'}}"
    assert (await asked.get("/m/" + "x" * 400)).text.startswith("get")
    assert len(served._known) == 10
