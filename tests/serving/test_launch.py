import contextlib
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from serving import launch, ports
from serving.peers.orders import OrderBook
from serving.repository.model_config import ModelConfig, parse
from serving.settings import Settings, SettingsError


def _free_ports() -> dict[str, int]:
    names = ("http_port", "port", "rest_api_port")
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    found = {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    for probe in probes:
        probe.close()
    return found


def test_workers_get_the_models_of_a_bento_and_a_place_to_count(tmp_path: Path) -> None:
    stored = tmp_path / "store" / "sum" / "2"
    stored.mkdir(parents=True)
    (stored / "saved_model.pb").touch()
    settings = Settings(host="127.0.0.1", **_free_ports())
    launched = launch.prepare(settings, settings.http_port, [("sum", 2, stored)])
    models = Path(launched.environment["SEQSERVE_MODELS"])
    with launched.kept:
        assert (models / "sum" / "2" / "saved_model.pb").is_file()
        assert Path(launched.environment["SEQSERVE_METRICS_DIRECTORY"]).is_dir()
        with pytest.raises(ports.PortError, match=str(settings.port)):
            ports.hold("127.0.0.1", settings.port, "port")
    assert not models.exists()
    assert (stored / "saved_model.pb").exists()


def test_settings_win_over_the_models_of_a_bento(tmp_path: Path) -> None:
    settings = Settings(host="127.0.0.1", models=tmp_path, **_free_ports())
    launched = launch.prepare(settings, None, [("sum", 2, tmp_path / "stored")])
    with launched.kept:
        assert launched.environment["SEQSERVE_MODELS"] == str(tmp_path)


def test_a_directory_that_is_not_there_is_named_and_the_ports_are_free_again(tmp_path: Path) -> None:
    settings = Settings(host="127.0.0.1", models=tmp_path / "nothing", **_free_ports())
    with pytest.raises(SettingsError, match=r"models: expected a directory. Received: '.*nothing'"):
        launch.prepare(settings, None, [])
    ports.check("127.0.0.1", settings.port, "port")


def test_listeners_that_are_off_claim_no_port(tmp_path: Path) -> None:
    settings = Settings(host="127.0.0.1", models=tmp_path, port=0, rest_api_port=0)
    launch.prepare(settings, None, []).kept.close()


def test_what_a_killed_server_left_goes_and_what_a_living_one_has_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings(host="127.0.0.1", models=tmp_path, port=0, rest_api_port=0)
    first = launch.prepare(settings, None, [])
    living = Path(first.environment["SEQSERVE_METRICS_DIRECTORY"])
    dead = tmp_path / "seqserve-dead"
    (dead / "metrics").mkdir(parents=True)
    (dead / "lock").touch()
    second = launch.prepare(settings, None, [])
    assert living.is_dir()
    assert not dead.exists()
    first.kept.close()
    second.kept.close()
    assert not list(tmp_path.glob("seqserve-*"))


def test_workers_that_come_later_find_what_the_config_file_said_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(
        f"model_config_list {{ config {{ name: 'm' base_path: '{tmp_path}' model_platform: 'tensorflow' }} }}"
    )
    settings = Settings(host="127.0.0.1", model_config_file=file, port=0, rest_api_port=0)
    launched = launch.prepare(settings, None, [])
    with launched.kept:
        file.write_text("bad {")
        orders = OrderBook(Path(launched.environment["SEQSERVE_RUN_DIRECTORY"])).read()
        assert orders.config == orders.file
        assert parse(orders.config or "") == (ModelConfig("m", str(tmp_path)),)


def test_what_a_worker_writes_at_the_very_end_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings(host="127.0.0.1", models=tmp_path, port=0, rest_api_port=0)
    launched = launch.prepare(settings, None, [])
    remove, metrics = shutil.rmtree, Path(launched.environment["SEQSERVE_METRICS_DIRECTORY"])

    def remove_and_write(path: Path, **options: bool) -> None:
        remove(path, **options)
        metrics.mkdir(parents=True, exist_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_and_write)
        launched.kept.close()
    assert metrics.is_dir()
    launch.prepare(settings, None, []).kept.close()
    assert not list(tmp_path.glob("seqserve-*"))


def _with_defaults(**defaults: int | str | Path) -> Settings:
    """Settings whose ports count as those that nobody asked for."""
    given = Settings(host="127.0.0.1", **defaults)
    asked = given.model_fields_set - {"http_port", "port", "rest_api_port"}
    return Settings.model_construct(asked, **given.model_dump())


def test_a_drop_in_gives_way_to_another_servers_ports(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        taken = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in _free_ports()}
        numbers = {name: other.getsockname()[1] for name, other in taken.items()}
        settings, warnings = launch.with_free_ports(_with_defaults(model_base_path=str(tmp_path), **numbers))
        assert settings.http_port not in (0, *numbers.values())
        assert settings.rest_api_port == 0
        assert settings.environment()["SEQSERVE_HTTP_PORT"] == str(settings.http_port)
        assert [warning.rpartition("; ")[2] for warning in warnings] == [
            f"port {settings.http_port} instead",
            "no REST port",
        ]
        with pytest.raises(ports.PortError, match=r"\(http_port\)"):
            launch.with_free_ports(_with_defaults(models=tmp_path, **numbers))
        with pytest.raises(ports.PortError, match=r"\(http_port\)"):
            launch.with_free_ports(Settings(host="127.0.0.1", model_base_path=str(tmp_path), **numbers))


def test_free_ports_are_kept_and_0_becomes_one(tmp_path: Path) -> None:
    numbers = _free_ports()
    settings = _with_defaults(model_base_path=str(tmp_path), **numbers)
    assert launch.with_free_ports(settings) == (settings, [])
    settings, _ = launch.with_free_ports(Settings(host="127.0.0.1", models=tmp_path, http_port=0, rest_api_port=0))
    assert settings.http_port
