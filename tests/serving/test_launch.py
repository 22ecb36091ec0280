import socket
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
    settings = Settings(host="127.0.0.1", model_base_path=str(tmp_path / "nothing"), **_free_ports())
    with pytest.raises(SettingsError, match=r"model_base_path: expected a directory. Received: '.*nothing'"):
        launch.prepare(settings, None, [])
    ports.check("127.0.0.1", settings.port, "port")
