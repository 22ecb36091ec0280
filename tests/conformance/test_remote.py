"""A whole server, with two workers, whose model lies in a bucket."""

import time

import httpx
import pytest

from ..object_store import s3_server, upload

pytestmark = pytest.mark.timeout(900)


def _ask(server):
    answer = httpx.post(f"{server.rest}/v1/models/affine:predict", json={"instances": [[1, 1, 1]]}, timeout=30)
    return answer.json().get("predictions"), answer.text


def test_a_model_in_a_bucket_is_served_and_follows_its_versions(zoo, serve, tmp_path):
    cache = tmp_path / "cache"
    with s3_server() as client:
        upload(client, zoo / "affine" / "1", "served/affine/1")
        flags = {"model_base_path": "s3://models/served/affine", "model_name": "affine", "model_cache_directory": cache}
        with serve(**flags, workers=2) as server:
            assert _ask(server)[0] == [7.0]
            assert len([*cache.glob("*/*/saved_model.pb")]) == 1
            upload(client, zoo / "affine" / "2", "served/affine/2")
            limit = time.monotonic() + 60
            while _ask(server)[0] != [8.0]:
                assert time.monotonic() < limit, _ask(server)[1]
                time.sleep(0.1)
