"""What a worker listens on, as the settings say, asked by clients."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving import ports
from serving.listeners import Listeners
from serving.rest.app import build_app
from serving.rest.entrance import Entrance
from serving.settings import Settings

from .certificates import Authority, ssl_config

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def listening(engine, **more) -> AsyncIterator[Settings]:
    given = {"host": HOST, "port": 0, "rest_api_port": 0, **more}
    settings = Settings(**{name: ports.free(HOST) if value == "any" else value for name, value in given.items()})
    app = Entrance(build_app(engine, engine.control), settings.rest_timeout_seconds)
    listeners = Listeners(settings, engine, engine.control, app)
    await listeners.open()
    try:
        yield settings
    finally:
        await listeners.drain(1)


async def ask(settings: Settings, path: str, **more) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{settings.rest_api_port}") as client:
        return await client.request(more.pop("method", "GET"), path, **more)


async def test_without_ports_there_is_no_listener(engine):
    async with listening(engine) as settings:
        assert not settings.port


async def test_grpc_is_on_its_port_and_on_its_socket(engine, tmp_path: Path):
    path = tmp_path / "grpc.sock"
    async with listening(engine, port="any", grpc_socket_path=str(path)) as settings:
        for address in (f"{HOST}:{settings.port}", f"unix:{path}"):
            async with grpc.aio.insecure_channel(address) as channel:
                request = health_pb2.HealthCheckRequest()
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5, wait_for_ready=True)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert not path.exists()


async def test_metrics_are_where_they_are_in_tf_serving(engine, tmp_path: Path):
    async with listening(engine, rest_api_port="any", metrics_directory=tmp_path) as settings:
        answer = await ask(settings, "/monitoring/prometheus/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await ask(settings, "/v1/models/sum")).status_code == 200


@pytest.mark.parametrize(
    ("config", "shown", "hidden"),
    [
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics", "/monitoring/prometheus/metrics"),
        ("prometheus_config { enable: false }", "/v1/models/sum", "/monitoring/prometheus/metrics"),
    ],
)
async def test_a_config_file_moves_metrics_or_hides_them(engine, tmp_path: Path, config, shown, hidden):
    file = tmp_path / "monitoring.config"
    file.write_text(config)
    given = {"metrics_directory": tmp_path, "monitoring_config_file": file}
    async with listening(engine, rest_api_port="any", **given) as settings:
        assert (await ask(settings, shown)).status_code == 200
        assert (await ask(settings, hidden)).status_code in (400, 404)


async def test_pages_from_anywhere_may_call_where_that_is_asked_for(engine):
    headers = {"origin": "http://page", "access-control-request-method": "POST"}
    for asked, expected in ((True, "*"), (False, None)):
        async with listening(engine, rest_api_port="any", rest_api_enable_cors_support=asked) as settings:
            answer = await ask(settings, "/v1/models/sum:predict", method="OPTIONS", headers=headers)
            assert answer.headers.get("access-control-allow-origin") == expected
            for method in ("GET", "OPTIONS"):
                answer = await ask(settings, "/v1/models/sum", method=method)
                assert answer.headers.get("access-control-allow-origin") == expected
                assert answer.status_code == (400 if method == "OPTIONS" and not asked else 200)


async def test_a_config_file_brings_tls(engine, tmp_path: Path):
    authority = Authority()
    file = tmp_path / "ssl.config"
    file.write_text(ssl_config(authority.issue("server")))
    path = tmp_path / "grpc.sock"
    async with listening(engine, port="any", grpc_socket_path=str(path), ssl_config_file=file) as settings:
        for address in (f"localhost:{settings.port}", f"unix:{path}"):
            trust = grpc.ssl_channel_credentials(authority.certificate.encode())
            options = [("grpc.ssl_target_name_override", "localhost")]
            async with grpc.aio.secure_channel(address, trust, options) as channel:
                request = health_pb2.HealthCheckRequest()
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5, wait_for_ready=True)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
