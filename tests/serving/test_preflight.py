import logging
import socket
from pathlib import Path

import pytest

from serving import preflight
from serving.settings import Settings, SettingsError

MODEL = 'name: "{name}" base_path: "{path}" model_platform: "tensorflow"'


def config(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "models.config"
    file.write_text(text)
    return Settings(model_config_file=file)


def test_models_must_be_a_directory(tmp_path: Path) -> None:
    preflight.check(Settings(models=tmp_path))
    with pytest.raises(SettingsError, match=r"models: expected a directory. Received: '.*nothing'"):
        preflight.check(Settings(models=tmp_path / "nothing"))


def test_a_directory_named_in_tf_servings_way_may_come_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        preflight.check(Settings(model_base_path=str(tmp_path / "later"), model_name="a:b"))
    assert "waiting for" in caplog.text
    assert "'a:b' has no REST address" in caplog.text


def test_a_url_is_not_looked_for_on_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    preflight.check(Settings(model_base_path="s3://bucket/model"))
    assert not caplog.text


def test_a_bad_config_file_is_refused_with_its_line(tmp_path: Path) -> None:
    settings = config(tmp_path, "model_config_list {\n  config { nome: 'x' }\n}")
    with pytest.raises(
        SettingsError, match=r"Error parsing text-format tensorflow.serving.ModelServerConfig: 2:\d+: .*nome"
    ):
        preflight.check(settings)


def test_a_config_file_names_its_models(tmp_path: Path) -> None:
    settings = config(tmp_path, "model_config_list { config { " + MODEL.format(name="m", path=tmp_path) + " } }")
    (model,) = preflight.configured_models(settings)
    assert (model.name, model.base_path) == ("m", str(tmp_path))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"model_config_file: cannot read '.*none': No such file"):
        preflight.check(Settings(model_config_file=tmp_path / "none"))
    bad = tmp_path / "batching"
    bad.write_text("max_batch_size { valeu: 1 }")
    with pytest.raises(SettingsError, match=r"batching_parameters_file: '.*batching': .*valeu"):
        preflight.check(Settings(models=tmp_path, enable_batching=True, batching_parameters_file=bad))


def test_a_socket_must_fit_where_it_shall_be(tmp_path: Path) -> None:
    def check(path: Path) -> None:
        preflight.check(Settings(models=tmp_path, grpc_socket_path=str(path)))

    check(tmp_path / "grpc.sock")
    with pytest.raises(SettingsError, match="expected a directory for it"):
        check(tmp_path / "nothing" / "grpc.sock")
    with pytest.raises(SettingsError, match="expected at most 95 bytes"):
        check(tmp_path / ("long" * 30))
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="expected a socket, or nothing there yet"):
        check(tmp_path / "file")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "grpc.sock"))
        check(tmp_path / "grpc.sock")
        other.listen()
        with pytest.raises(SettingsError, match="another process listens on"):
            check(tmp_path / "grpc.sock")


def test_a_bad_ssl_config_is_refused_before_there_are_workers(tmp_path: Path) -> None:
    file = tmp_path / "ssl"
    file.write_text("server_key: 'no key' server_cert: 'no certificate'")
    with pytest.raises(SettingsError, match=r"ssl_config_file: .*: expected a key, its certificate"):
        preflight.check(Settings(models=tmp_path, ssl_config_file=file))
