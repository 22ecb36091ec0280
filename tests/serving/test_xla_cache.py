"""What was compiled is found again by the next process, and only what can be trusted is."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving import launch, xla_cache
from serving.settings import Settings

from .savedmodels import Labelled, save

ROOT = Path(__file__).resolve().parents[2]
# What the process does first gives TensorFlow's own names of functions other numbers.
SERVES = """
import sys
from pathlib import Path
import numpy as np
from serving import xla_cache
from serving.savedmodel import load
import tensorflow as tf

for number in range(int(sys.argv[3])):
    tf.function(lambda x: x + number).get_concrete_function(tf.TensorSpec([], tf.int32))
model = load(Path(sys.argv[1]), threads=1)
program = model.programs["serving_default"]
for rows in (1, 3):
    strokes = np.linspace(-1, 1, rows * 8, dtype=np.float32).reshape(rows, 4, 2)
    assert program.compile({"strokes": strokes}, only_if_faster=False)
    scores = program({"strokes": strokes})["scores"]
    print(",".join(f"{score:.4f}" for score in scores.ravel()))
print(xla_cache.seal(Path(sys.argv[2])), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "1"
    save(Labelled(), folder)
    return folder


def _worker(model: Path, directory: Path, *, traced: int = 0) -> subprocess.Popen[str]:
    variables = {**os.environ, **xla_cache.environment(directory), "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    command = [sys.executable, "-c", SERVES, str(model), str(directory), str(traced)]
    return subprocess.Popen(command, cwd=ROOT, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _ended(worker: subprocess.Popen[str]) -> tuple[str, int]:
    """Its answers, and how many entries were new to the cache."""
    answers, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    assert len(errors.splitlines()) == 1, errors  # the cache is silent
    return answers, int(errors)


def _entry(directory: Path, name: str, size: int = 10, *, age: int = 0) -> Path:
    entry = directory / f"{name}.pb"
    entry.write_bytes(b"x" * size)
    os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    xla_cache.seal(directory)
    return entry


def test_the_second_process_compiles_nothing(model: Path, tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    answers, compiled = _ended(_worker(model, directory))
    assert compiled == 2
    assert xla_cache.prepare(tmp_path, 1) == directory
    assert _ended(_worker(model, directory, traced=5)) == (answers, 0)


def test_a_damaged_entry_is_compiled_anew(model: Path, tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    answers, _ = _ended(_worker(model, directory))
    damaged = sorted(directory.glob("*.pb"))[0]
    os.truncate(damaged, damaged.stat().st_size // 2)
    xla_cache.prepare(tmp_path, 1)
    assert not damaged.exists()
    assert _ended(_worker(model, directory)) == (answers, 1)
    assert damaged.exists()


def test_two_workers_may_fill_it_at_once(model: Path, tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    first, second = [_worker(model, directory), _worker(model, directory, traced=3)]
    assert _ended(first)[0] == _ended(second)[0]
    xla_cache.seal(directory)
    assert len(list(directory.glob("*.pb"))) == 2


def test_what_is_there_is_read_where_nothing_can_be_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    answers, _ = _ended(_worker(model, directory))
    entries = {file: file.stat().st_mtime_ns for file in directory.glob("*.pb")}
    kept = entries.popitem()[0]
    for other in entries:
        other.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert _ended(_worker(model, directory)) == (answers, 0)
    assert list(directory.glob("*.pb")) == [kept]


def test_only_entries_with_their_own_digest_stay(tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    sound, changed = _entry(directory, "sound"), _entry(directory, "changed")
    changed.write_bytes(b"y" * 10)
    (directory / "unsealed.pb").write_bytes(b"x")
    (directory / "link.pb").symlink_to(sound)
    begun, left = directory / "begun.pb.tmp", directory / "left.pb.tmp"
    for file in (begun, left):
        file.write_bytes(b"x")
    os.utime(left, (time.time() - 7200,) * 2)  # by a process that was killed, and not by another server just now
    xla_cache.prepare(tmp_path, 1)
    assert {file.name for file in directory.iterdir()} == {"sound.pb", "sound.blake2b", "begun.pb.tmp"}


def test_the_oldest_entries_go_when_there_are_too_many(tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    for age in range(5):
        _entry(directory, str(age), age=age)
    xla_cache.prepare(tmp_path, 1, most_bytes=50)
    assert len(list(directory.glob("*.pb"))) == 5
    xla_cache.prepare(tmp_path, 1, most_bytes=40)
    assert {file.stem for file in directory.iterdir()} == {"0", "1"}


def test_what_was_found_to_gain_is_known_to_the_next_start(tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    xla_cache.Faster(directory).add("a")
    os.utime(directory / "a.faster", (0, 0))
    found = xla_cache.Faster(xla_cache.prepare(tmp_path, 1))
    assert "a" in found
    assert "b" not in found


def test_only_the_newest_is_kept_of_what_was_found_to_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_cache, "_MOST_FASTER", 4)
    directory = xla_cache.prepare(tmp_path, 1)
    found = xla_cache.Faster(directory)
    for key in range(5):
        found.add(str(key))
        os.utime(directory / f"{key}.faster", (key, key))
    xla_cache.prepare(tmp_path, 1)
    assert [str(key) in found for key in range(5)] == [False, False, False, True, True]


def test_odd_things_in_the_directory_are_in_nobodys_way(tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path, 1)
    for name in ("a.faster", "b.pb", "c.blake2b"):
        (directory / name).mkdir()
    for name in ("d.faster", "e.pb", "f.txt"):
        (directory / name).symlink_to(directory / "nowhere")
    assert xla_cache.prepare(tmp_path, 1) == directory
    assert not (directory / "e.pb").is_symlink()


def test_a_directory_that_takes_nothing_is_as_good_as_none(tmp_path: Path) -> None:
    found = xla_cache.Faster(tmp_path / "missing")
    found.add("a")
    assert "a" not in found


def test_other_processors_options_and_threads_have_directories_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = xla_cache.prepare(tmp_path, 1)
    others = [xla_cache.prepare(tmp_path, 2)]
    with monkeypatch.context() as changed:
        changed.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
        others.append(xla_cache.prepare(tmp_path, 1))
    text = Path("/proc/cpuinfo").read_text().replace(" avx2 ", " ")
    with monkeypatch.context() as changed:
        changed.setattr(Path, "read_text", lambda *_, **__: text)
        others.append(xla_cache.prepare(tmp_path, 1))
    assert len({ours, *others}) == 4 or (" avx2 " not in Path("/proc/cpuinfo").read_text())
    assert xla_cache.prepare(tmp_path, 1) == ours


def test_nobody_else_may_write_there(tmp_path: Path) -> None:
    directory = xla_cache.prepare(tmp_path / "cache", 1)
    assert directory.stat().st_mode & 0o777 == (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    directory.chmod(0o770)
    with pytest.raises(xla_cache.Unusable, match="other users may write"):
        xla_cache.prepare(tmp_path / "cache", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(xla_cache.Unusable, match="another user"):
        xla_cache.prepare(tmp_path, 1)


@pytest.mark.parametrize(("given", "warned"), [("", False), ("none", False), ("file/inside", True), ("a b", True)])
def test_a_server_starts_without_it(
    tmp_path: Path, given: str, warned: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    settings = Settings(models=tmp_path, port=0, rest_api_port=0, xla_cache_directory=given)
    launched = launch.prepare(settings, None, [])
    launched.kept.close()
    assert launched.environment["SEQSERVE_XLA_CACHE_DIRECTORY"] == "none"
    assert "TF_XLA_FLAGS" not in launched.environment
    assert ("is compiled anew" in caplog.text) == warned


def test_flags_of_the_users_own_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_max_cluster_size=7")
    assert xla_cache.environment(tmp_path)["TF_XLA_FLAGS"].startswith("--tf_xla_max_cluster_size=7 --tf_xla_persistent")
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=/elsewhere")
    assert xla_cache.environment(tmp_path) == {}
