"""What the README tells people to type, typed: against the shipped models, served as `make serve` serves them."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from typer.testing import CliRunner

from seqserve_client import Client
from serving import flags
from serving.settings import from_values
from training.__main__ import app

from .servers import ROOT, Server, serving

# A busy machine may take minutes to import TensorFlow in three processes.
pytestmark = pytest.mark.timeout(900)

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ASKING = [code for language, code in BLOCKS if language == "sh" and "curl" in code]
PROGRAMS = [code for language, code in BLOCKS if language == "python"]
TRAINING = re.findall(r"^python -m training (.*?)(?: +#.*)?$", README, re.MULTILINE)
SERVING = re.findall(r"^python -m serving (.*?)(?: +#.*)?$", README, re.MULTILINE)
READY_SECONDS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    quiet_before = os.getloadavg()[0] < 1.5
    started = time.monotonic()
    with serving(tmp_path_factory.mktemp("readme")) as server:
        server.wait_until_ready()
        seconds = time.monotonic() - started
        print(f"ready after {seconds:.1f} s")
        # How long a busy machine takes says nothing about us; two workers alone bring a load of about three.
        quiet = quiet_before and os.getloadavg()[0] < 4
        assert seconds < READY_SECONDS or not quiet, server.log.read_text()
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would be typing: with a clip of their own that pans over a pattern."""
    folder = tmp_path_factory.mktemp("reader")
    pattern = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for left in range(0, 240, 10):
            picture = np.ascontiguousarray(pattern[:, left : left + 160])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return folder


def run(server: Server, folder: Path, command: list[str], code: str) -> str:
    """What `code`, with the server's addresses in place of the README's, prints."""
    code = code.replace('Client("localhost")', f'Client(grpc_target="{server.grpc}", http_url="{server.http}")')
    for told, address in {"3000": server.http, "8500": server.grpc, "8501": server.rest}.items():
        code = code.replace(f"localhost:{told}", address.removeprefix("http://"))
    assert "localhost" not in code
    done = subprocess.run([*command, code], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{code}\nprinted:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_curl(server: Server, folder: Path) -> None:
    forecast, sketch, clip, prediction = answers(run(server, folder, ["bash", "-ec"], "\n".join(ASKING)))
    assert forecast["dates"] == [f"2026-06-0{day}" for day in range(1, 8)]
    assert len(forecast["mean"]) == 7
    assert all(250 < value < 450 for value in forecast["mean"])
    for answer in (sketch, clip):
        scores = [best["score"] for best in answer["classes"]]
        assert scores == sorted(scores, reverse=True)
        assert len({best["label"] for best in answer["classes"]}) == 5
        assert 0 < sum(scores) < 1 + 1e-5
    (row,) = prediction["predictions"]
    assert np.shape(row["mean"]) == (7,)
    assert np.shape(row["quantiles"]) == (7, 9)
    assert (np.diff(row["quantiles"]) >= 0).all()


def answers(printed: str) -> list[dict[str, Any]]:
    """The JSON documents that stand one after the other in `printed`."""
    found, rest = [], printed.lstrip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def test_the_python_client(server: Server, folder: Path) -> None:
    forecast, sketch = run(server, folder, [sys.executable, "-c"], PROGRAMS[0]).rstrip().rsplit("\n", 1)
    day, mean, quantiles = forecast.split(maxsplit=2)
    assert day == "2026-06-01"
    assert 250 < float(mean) < 450
    assert len(quantiles.strip("[]").split()) == 9
    assert re.fullmatch(r"\w[\w -]* 0\.\d+", sketch)


def test_a_tf_serving_client(server: Server, folder: Path) -> None:
    printed = run(server, folder, [sys.executable, "-c"], PROGRAMS[1])
    assert re.fullmatch(r"\[(b'[^']+'(, )?){5}\] \[([\d.e-]+(, )?){5}\]", printed.strip())


def test_a_triton_client_that_sends_a_drawing_stroke_by_stroke(server: Server, folder: Path) -> None:
    first, second = run(server, folder, [sys.executable, "-c"], PROGRAMS[2]).splitlines()
    assert len(re.findall(r"b'[^']+'", first)) == len(re.findall(r"b'[^']+'", second)) == 5
    assert (re.findall(r"\w+", first)[1], re.findall(r"\w+", second)[1]) == ("square", "house")


@pytest.mark.parametrize("line", SERVING)
def test_every_flag_of_serving_exists(line: str) -> None:
    settings = from_values(flags.parse(shlex.split(line)).settings)
    assert settings.model_config_file or settings.model_base_path


@pytest.mark.parametrize("model", ["forecaster", "sketchrnn", "video"])
def test_three_protocols_give_one_answer(server: Server, model: str) -> None:
    random = np.random.default_rng(7)
    inputs: dict[str, np.ndarray] = {
        "forecaster": {"history": random.uniform(50, 90, (1, 60)).astype(np.float32), "end_day": np.int32([20_000])},
        "sketchrnn": {"strokes": np.float32([[[0, 0, 0], [100, 0, 0], [0, 90, 0], [-100, 0, 0], [0, -90, 1]]])},
        "video": {"frames": random.integers(0, 256, (1, 16, 112, 112, 3), np.uint8)},
    }[model]

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(server.grpc) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    predicted = {name: tf.make_ndarray(tensor) for name, tensor in predict.outputs.items()}

    with Client(grpc_target=server.grpc, http_url=server.http) as client:
        inferred = client.infer(model, inputs).outputs

    body = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
    rest = httpx.post(f"{server.rest}/v1/models/{model}:predict", json=body, timeout=60)
    assert rest.status_code == 200, rest.text
    assert predicted.keys() == inferred.keys() == rest.json()["outputs"].keys()
    for name, value in predicted.items():
        for other in (inferred[name], rest.json()["outputs"][name]):
            if value.dtype == object:
                assert words(value) == words(other)
            else:
                # Which worker answers is chance, and one may have compiled already: equal but for rounding.
                np.testing.assert_allclose(np.asarray(other, value.dtype), value, rtol=1e-3, atol=1e-4)


def words(array: Any) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else word for word in np.ravel(array).tolist()]


@pytest.mark.parametrize("line", TRAINING)
def test_every_flag_of_training_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments = [shlex.split(line)[0], "--help"]
    printed = CliRunner().invoke(app(arguments), arguments).output
    section = README.partition("\n## Train")[2].partition("\n## ")[0]
    for flag in {"--data", *re.findall(r"--[a-z-]+", line), *re.findall(r"`(--[a-z-]+)", section)}:
        assert f"{flag} " in printed


def test_training_on_a_csv_file(tmp_path: Path) -> None:
    (line,) = (line for line in TRAINING if line.startswith("forecaster "))
    rows = [f"{day},{day.day + day.weekday()}" for day in np.arange("2023-01", "2024-01", dtype="M8[D]").tolist()]
    (tmp_path / "sales.csv").write_text("\n".join(["date,sold", *rows]))
    tiny = shlex.split("--epochs 1 --steps 2 --generated 4 --batch-size 16 --units 8 --run run --models models")
    done = subprocess.run(
        [sys.executable, "-m", "training", *shlex.split(line), *tiny],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "models" / "forecaster" / "1" / "saved_model.pb").is_file()


def test_every_make_target_exists() -> None:
    told = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"serve", "test"} <= told
    assert told <= set(re.findall(r"make ([a-z]+)", listed))


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
