import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving import machine
from serving.settings import Settings, SettingsError, from_flags

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SEQSERVE_"):
            monkeypatch.delenv(name)


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
    ],
)
def test_an_impossible_setting_is_refused_by_name(flags: list[str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        from_flags(flags)


def test_help_lists_every_setting_with_its_description() -> None:
    command = [sys.executable, "-m", "serving", "--help"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    words = " ".join(shown.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name} " in words
        assert field.description is not None
        assert field.description in words


def test_a_bad_flag_ends_the_start_with_one_line() -> None:
    command = [sys.executable, "-m", "serving", "--workers", "none"]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert ended.stderr.startswith("seqserve: workers: ")
    assert len(ended.stderr.splitlines()) == 1


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
