import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving import machine
from serving.flags import parse
from serving.settings import Settings, SettingsError, from_values

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SEQSERVE_", "MODEL_")):
            monkeypatch.delenv(name)


def from_flags(flags: list[str]) -> Settings:
    return from_values(parse(flags).settings)


def test_defaults_are_the_ports_people_know() -> None:
    settings = from_flags([])
    assert (settings.http_port, settings.port, settings.rest_api_port) == (3000, 8500, 8501)
    assert settings.max_message_bytes == 64 * 1024 * 1024
    assert settings.grace_period_seconds == 30
    assert settings.workers == machine.default_workers()


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSERVE_PORT", "9000")
    monkeypatch.setenv("SEQSERVE_WORKERS", "3")
    settings = from_flags(["--port", "9001"])
    assert (settings.port, settings.workers) == (9001, 3)


def test_the_environment_gives_another_process_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_flags(["--models", "/srv/models", "--host", "localhost", "--access_log", "true", "--workers=2"])
    variables = settings.environment()
    assert "SEQSERVE_PORT" not in variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        from_flags([]).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--port", "http"], r"port: .*valid integer.* Received: 'http'"),
        (["--rest_api_port", "70000"], r"rest_api_port: .*65535. Received: '70000'"),
        (["--workers", "0"], r"workers: .*greater than or equal to 1. Received: '0'"),
        (["--host", "example.com"], r"host: .*IPv4.* Received: 'example.com'"),
        (["--port", "8501"], r"expected three different ports, got .*8501"),
        (["--models", "/a", "--model_base_path", "/b"], r"expected models or model_base_path, got both"),
        (["--models", "/a", "--model_config_file", "/b"], r"expected models or model_config_file, got both"),
        (["--grpc_channel_arguments=a"], r"grpc_channel_arguments: expected name=value,name=value. Received: 'a'"),
        (["--batching_parameters_file", "/b"], r"batching_parameters_file is set without setting enable_batching"),
        (
            [f"--tensorflow_{which}_parallelism=2" for which in ("session", "intra_op", "inter_op")],
            r"expected tensorflow_session_parallelism, or .*, got all of them",
        ),
    ],
)
def test_an_impossible_setting_is_refused_by_name(flags: list[str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        from_flags(flags)


def test_listeners_that_are_off_need_no_ports_of_their_own() -> None:
    settings = from_flags(["--port=0", "--rest_api_port=0"])
    assert (settings.port, settings.rest_api_port) == (0, 0)


def test_the_variables_of_tf_servings_container_name_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_NAME", "resnet")
    settings = from_flags([])
    assert (settings.model_name, settings.model_base_path) == ("resnet", "/models/resnet")
    assert settings.environment()["SEQSERVE_MODEL_BASE_PATH"] == "/models/resnet"
    monkeypatch.setenv("MODEL_BASE_PATH", "/srv")
    assert Settings().model_base_path == "/srv/resnet"
    monkeypatch.delenv("MODEL_NAME")
    assert Settings().model_base_path == "/srv/model"
    assert Settings().model_name == "model"


@pytest.mark.parametrize("flag", ["--models=/a", "--model_base_path=/a", "--model_config_file=/a"])
def test_whatever_else_names_models_wins_over_the_containers_variables(
    monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setenv("MODEL_NAME", "resnet")
    settings = from_flags([flag])
    assert settings.model_name == "default"
    assert settings.model_base_path in (None, "/a")


def test_channel_arguments_are_numbers_where_they_can_be() -> None:
    settings = from_flags(["--grpc_channel_arguments=grpc.max_connection_age_ms=2000,name=a=b,large=4294967296"])
    expected = [("grpc.max_connection_age_ms", 2000), ("name", "a=b"), ("large", "4294967296")]
    assert settings.channel_arguments == expected


def test_flags_that_name_models_win_over_every_variable_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSERVE_MODELS", "/a")
    settings = from_flags(["--model_base_path=/b"])
    assert settings.model_base_path == "/b"
    assert "models" not in settings.model_fields_set
    assert "SEQSERVE_MODELS" not in os.environ


def test_parallelism_of_sessions_stands_for_both() -> None:
    assert from_flags(["--tensorflow_session_parallelism=3"]).intra_op_threads == 3
    assert from_flags(["--tensorflow_session_parallelism=3"]).inter_op_threads == 3
    settings = from_flags(["--tensorflow_session_parallelism=3", "--tensorflow_inter_op_parallelism=2"])
    assert (settings.intra_op_threads, settings.inter_op_threads) == (0, 2)


def test_every_setting_is_documented() -> None:
    table = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` ", table, flags=re.MULTILINE))
    assert documented == set(Settings.model_fields)


def test_workers_follow_cores_memory_and_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "memory", lambda: 64 * machine.WORKER_BYTES)
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    assert machine.default_workers() == 8
    monkeypatch.setattr(machine, "memory", lambda: 3 * machine.WORKER_BYTES)
    assert machine.default_workers() == 3
    monkeypatch.setattr(machine, "gpus", lambda: 4)
    assert machine.default_workers() == 1


def test_a_hidden_card_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert machine.gpus() == 0


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSERVE_MODEL_CONFIG_FILE", "")
    monkeypatch.setenv("SEQSERVE_PORT", "")
    assert Settings().model_config_file is None
    assert Settings().port == 8500
