"""Whole runs: every kind of user on every model, reports, and exit codes."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "loadtests", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def rows(reports: Path) -> dict[str, dict[str, str]]:
    with (reports / "loadtest_stats.csv").open(newline="") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


@pytest.fixture
def patient(tmp_path):
    """Limits that a busy machine keeps too."""
    file = tmp_path / "patient.toml"
    file.write_text("[default]\np95_ms = 60000\nerror_rate = 0\n")
    return ["--thresholds", file]


@pytest.mark.parametrize(
    ("tags", "typed"),
    [
        (
            ["forecaster", "sketchrnn"],
            {"typed /forecast", "typed /forecast, 16 series", "typed /classify_sketch"},
        ),
        (["video"], {"typed /classify_video"}),
    ],
    ids=["small", "video"],
)
def test_every_kind_of_user_calls_every_model(stand_in, tmp_path, patient, tags, typed):
    more = ["--duration", "5s", "--users", 8, "--reports", tmp_path, "--tags", *tags]
    done = run(*stand_in.arguments(), *patient, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "thresholds: kept" in done.stdout
    assert (tmp_path / "loadtest.html").stat().st_size > 10_000
    measured = rows(tmp_path)
    expected = typed | {f"{protocol} {tag}" for protocol in ("REST", "Predict", "ModelInfer") for tag in tags}
    assert set(measured) - {"Aggregated"} == expected
    assert all(row["Failure Count"] == "0" for row in measured.values())
    assert sum(stand_in.asked.values()) >= int(measured["Aggregated"]["Request Count"]) > 10


def test_errors_and_slow_answers_set_the_exit_code(stand_in, tmp_path):
    stand_in.failing = True
    done = run(*stand_in.arguments(), "--duration", "3s", "--users", 4, "--tags", "sketchrnn", "--reports", tmp_path)
    assert done.returncode == 1
    assert "errors, got 100.00%" in done.stdout
    assert "RESOURCE_EXHAUSTED: full" in done.stdout + done.stderr


def test_slow_answers_alone_set_it_too_and_tags_and_kinds_choose(stand_in, tmp_path):
    stand_in.delay = 0.2
    limits = tmp_path / "limits.toml"
    limits.write_text("[default]\np95_ms = 100\nerror_rate = 0\n")
    done = run(
        *stand_in.arguments(),
        *("--duration", "4s", "--users", 4, "--reports", tmp_path, "--thresholds", limits),
        *("--kinds", "OipGrpcUser", "--tags", "sketchrnn", "--shape", "ramp"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken: ModelInfer sketchrnn: expected p95 of at most 100 ms" in done.stdout
    assert set(stand_in.asked) == {"ModelInfer sketchrnn"}


def test_nobody_there_is_an_error(tmp_path):
    done = run(
        "--http-url",
        "http://127.0.0.1:9",
        "--duration",
        "2s",
        "--users",
        4,
        "--tags",
        "sketchrnn",
        "--reports",
        tmp_path,
    )
    assert done.returncode == 1


def test_a_row_without_requests_breaks_the_limits(stand_in, tmp_path, patient):
    """The run ends, and its 10 s of grace, before the second call does."""
    stand_in.delay = 8
    more = ["--duration", "1s", "--users", 1, "--kinds", "OipGrpcUser", "--tags", "sketchrnn", "video"]
    done = run(*stand_in.arguments(), *patient, *more, "--reports", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken: ModelInfer video: expected 1 requests or more, got 0" in done.stdout


def test_the_first_user_calls_everything_once(stand_in, tmp_path, patient):
    """Of 40 calls a clip's share would be 2, and that of 16 series 2 of 20: neither is left to chance."""
    more = ["--duration", "3s", "--users", 1, "--kinds", "TypedApiUser", "--reports", tmp_path]
    done = run(*stand_in.arguments(), *patient, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "thresholds: kept (4 rows of 4)" in done.stdout


@pytest.mark.skipif(not (ROOT / "models").is_dir(), reason="no models in models/")
def test_starts_a_server_loads_it_and_stops_it(tmp_path, patient, monkeypatch):
    # A load test waits for all compilation to end, which is what nearly all of two minutes would go to.
    monkeypatch.setenv("SEQSERVE_XLA", "false")
    done = run(*patient, "--duration", "5s", "--users", 4, "--reports", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = rows(tmp_path)
    assert int(measured["Aggregated"]["Request Count"]) > 10, done.stdout
    assert measured["Aggregated"]["Failure Count"] == "0", done.stdout
    assert (tmp_path / "server.log").exists()


def test_a_server_that_does_not_start_says_why(tmp_path):
    done = run("--models", tmp_path / "nothing", "--reports", tmp_path, "--duration", "1s")
    assert done.returncode == 2
    assert "models: expected a directory" in done.stderr
