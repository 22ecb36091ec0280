import socket
import tempfile
from pathlib import Path

import pytest

from serving import launch, ports
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
