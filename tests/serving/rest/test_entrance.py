import time

import pytest

from serving.entry import Entry, current
from serving.rest.entrance import Entrance


async def enter(path: str, method: str = "POST", timeout: float | None = None) -> Entry | None:
    found = []

    async def app(*_) -> None:
        found.append(current())

    await Entrance(app, timeout)({"type": "http", "method": method, "path": path}, None, None)
    assert current() is None
    return found[0]


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/models/m:predict", "predict"),
        ("/v1/models/m/versions/3:classify", "classify"),
        ("/v1/models/m/labels/stable:regress", "regress"),
        ("/v2/models/m/infer", "infer"),
        ("/v2/models/m/versions/3/infer", "infer"),
    ],
)
async def test_an_inference_has_a_name_and_the_limit(path, api):
    began = time.monotonic()
    entry = await enter(path, timeout=7)
    assert (entry.api, entry.entrypoint) == (api, "REST")
    assert began + 7 <= entry.deadline < began + 8
    assert (await enter(path)).deadline is None


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/models/m", "GET"), ("/v1/models/m", "POST"), ("/v2/repository/index", "POST")]
)
async def test_what_is_no_inference_is_let_through(path, method):
    assert await enter(path, method) is None
