"""The Python client, its README and the load tests, against a whole server."""

import csv
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from seqserve_client import AsyncClient, Client, InvalidInput, NotFound, _video

from .servers import ROOT, Server, serving

# A busy machine may take minutes to import TensorFlow.
pytestmark = pytest.mark.timeout(900)

WEEKS = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 5.0] * 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from .classifiers import save

    folder = tmp_path_factory.mktemp("client")
    models = save(folder / "models")
    with serving(folder, "--models", str(models), "--workers", "1", "--xla", "false") as server:
        server.wait_until_ready()
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(grpc_target=server.grpc, http_url=server.http) as client:
        yield client


@pytest.fixture(scope="module")
def blue_frames() -> np.ndarray:
    frames = np.zeros((20, 48, 64, 3), np.uint8)
    frames[..., 2] = 200
    return frames


@pytest.fixture(scope="module")
def blue_clip(blue_frames: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in blue_frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_forecasts(client: Client) -> None:
    forecast = client.forecast([*WEEKS, None], last_date="2019-05-31")
    assert forecast.mean.tolist() == pytest.approx([4.0] * 7)
    assert forecast.quantiles.shape == (7, 9)
    assert forecast.dates is not None
    assert forecast.dates[0] == date(2019, 6, 1)
    assert (forecast.model, forecast.version) == ("forecaster", "1")
    series = pd.Series(WEEKS, index=pd.date_range("2024-02-01", periods=21))
    assert client.forecast(series).index[0] == pd.Timestamp("2024-02-22")


def test_forecasts_know_public_holidays(client: Client) -> None:
    forecast = client.forecast(WEEKS, last_date="2018-12-30", country="US")
    assert forecast.mean.tolist() == pytest.approx([4.0, 0.0, 4.0, 4.0, 4.0, 4.0, 4.0])


def test_many_series_of_many_lengths(client: Client) -> None:
    forecasts = client.forecast_many([np.full(7 + i, i) for i in range(70)])
    assert [forecast.mean[0] for forecast in forecasts] == pytest.approx(list(range(70)))


def test_sketches(client: Client) -> None:
    drawing = [[[0, 100, 100], [0, 0, 10]], [[50, 80], [5, 5]]]
    answer = client.classify_sketch(drawing=drawing)
    assert (answer.best, answer.classes) == ("across", ("across", "down"))
    assert answer.probabilities is not None
    assert client.classify_sketch(strokes=[[0, 0, 0], [1, 9, 1]]).best == "down"


def test_a_clip_gives_the_same_answer_wherever_it_is_decoded(
    client: Client, blue_clip: bytes, blue_frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = client.classify_video(blue_clip)
    assert here.best == client.classify_video(blue_frames).best == "blue"
    monkeypatch.setattr(_video, "can_decode", lambda: False)
    there = client.classify_video(blue_clip)
    assert there.probabilities is None
    assert there.classes == here.classes
    assert there.scores == pytest.approx(here.scores, abs=1e-5)
    assert there.version == here.version


def test_any_model_and_its_metadata(client: Client) -> None:
    result = client.infer("sketchrnn", {"strokes": np.ones((2, 5, 3), np.float32)}, outputs=["top_classes"])
    assert result["top_classes"].shape == (2, 2)
    assert list(result.outputs) == ["top_classes"]
    metadata = client.model_metadata("forecaster")
    assert {(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs} == {
        ("history", "FP32", (-1, -1)),
        ("end_day", "INT32", (-1,)),
    }
    assert client.server_live()
    assert client.server_ready()
    assert client.model_ready("video", version=1)
    assert client.server_metadata().name


def test_refusals_carry_the_servers_words(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="nothing"):
        client.infer("nothing", {"x": np.zeros((1, 1), np.float32)})
    with pytest.raises(NotFound):
        client.forecast(WEEKS, version=99)
    with pytest.raises(InvalidInput, match="strokes"):
        client.infer("sketchrnn", {"strokes": np.zeros((1, 5, 2), np.float32)})
    monkeypatch.setattr(_video, "can_decode", lambda: False)
    with pytest.raises(InvalidInput, match="expected a video file"):
        client.classify_video(b"no video at all")


async def test_asyncio(server: Server, blue_clip: bytes) -> None:
    async with AsyncClient(grpc_target=server.grpc, http_url=server.http) as client:
        assert (await client.forecast(WEEKS)).mean[0] == pytest.approx(4)
        assert (await client.classify_video(blue_clip)).best == "blue"


def test_the_readme_runs(
    server: Server,
    blue_clip: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    (tmp_path / "clip.mp4").write_bytes(blue_clip)
    rail = pd.DataFrame({"rail": np.arange(200.0)}, index=pd.date_range("2018-01-01", periods=200, name="date"))
    rail.to_csv(tmp_path / "rail.csv")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    exec(code.replace('"localhost"', f'grpc_target="{server.grpc}", http_url="{server.http}"'), names)
    assert "2019-06-01" in capsys.readouterr().out


def test_load_from_every_kind_of_user(server: Server, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("[default]\np95_ms = 60000\nerror_rate = 0\n")
    command = [sys.executable, "-m", "loadtests", "--duration", "5s", "--users", "8", "--reports", tmp_path]
    command += ["--http-url", server.http, "--rest-url", server.rest, "--grpc-target", server.grpc]
    command += ["--thresholds", limits, "--tags", "forecaster", "sketchrnn"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "loadtest_stats.csv").open(newline="") as file:
        counts = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert {"typed /forecast", "REST sketchrnn", "Predict forecaster", "ModelInfer sketchrnn"} <= set(counts)
