"""The client on its own: installed into an environment that has nothing else."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import importlib.util, sys
import seqserve_client
from seqserve_client import Client, InvalidInput, MissingDependency

for name in ("tensorflow", "keras", "pandas", "av", "serving", "training"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"
grpc_target, http_url, clip = sys.argv[1:]
with Client(grpc_target=grpc_target, http_url=http_url) as client:
    forecast = client.forecast([1.0, None, 3, 4, 5, 6, 7], last_date="2019-05-31")
    assert str(forecast.dates[0]) == "2019-06-01"
    try:
        forecast.to_frame()
    except MissingDependency as error:
        assert "seqserve-client[pandas]" in str(error)
    else:
        raise AssertionError("a frame without pandas")
    assert client.classify_sketch(strokes=[[5, 0, 1]]).best == "across"
    assert client.classify_video(clip).best == "blue"
    try:
        client.forecast([])
    except InvalidInput:
        pass
print("all is well")
"""


@pytest.fixture(scope="session")
def lone_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the client and what it declares."""
    folder = tmp_path_factory.mktemp("lone")
    python = folder / "bin" / "python"
    # A copy: building leaves files behind, and would take up those of earlier builds.
    source = tmp_path_factory.mktemp("source") / "client"
    shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("build", "dist", "*.egg-info"))
    wanted = ["-c", ROOT / "constraints.txt", source]
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        _run([uv, "venv", "--python", sys.executable, folder])
        _run([uv, "pip", "install", "--python", python, *wanted])
    else:
        venv.create(folder, with_pip=True)
        _run([python, "-m", "pip", "install", *wanted])
    return python


def _run(command: list) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_works_without_tensorflow_or_any_optional_package(lone_python, server, blue_clip, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(blue_clip)
    # -P keeps this checkout off the path.
    command = [lone_python, "-P", "-W", "error", "-c", SCRIPT, server.grpc_target, server.http_url, clip]
    assert _run(command).strip() == "all is well"
    assert len(server.peers.uploads) == 1


def test_the_types_travel_with_it(lone_python):
    place = _run([lone_python, "-P", "-c", "import seqserve_client; print(seqserve_client.__path__[0])"]).strip()
    assert (Path(place) / "py.typed").exists()
    assert not place.startswith(str(ROOT))
