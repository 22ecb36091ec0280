import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from training import strategy
from training.together import share

from .toy import fit_toy, options

HERE = Path(__file__).parent


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_workers_end_with_the_weights_of_one_process(tmp_path: Path) -> None:
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "fit_together.py"), str(tmp_path), "multi_worker"],
                cwd=HERE.parents[1],
                env=os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": str(HERE.parents[1])},
                stdout=subprocess.DEVNULL,
            )
        )
    try:
        assert [process.wait(240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()

    fitted, report = fit_toy(options(tmp_path / "alone", epochs=2, average=0.9), dropout=0.0)
    with np.load(tmp_path / "worker-0.npz") as chief, np.load(tmp_path / "worker-1.npz") as other:
        for name in chief.files:
            np.testing.assert_array_equal(chief[name], other[name])
        for i, weights in enumerate(fitted.get_weights()):
            np.testing.assert_allclose(chief[f"arr_{i}"], weights, rtol=1e-4, atol=1e-5)
        figures = [[row["loss"], row["val_loss"], row["val_accuracy"]] for row in report.history]
        np.testing.assert_allclose(chief["figures"], figures, rtol=1e-4)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["epochs"] == 2


@pytest.fixture
def one_device() -> Iterator[None]:
    """Later tests are not spread."""
    yield
    strategy.end()


@pytest.mark.usefixtures("one_device")
def test_on_one_device_a_mirrored_run_is_a_plain_one_and_either_may_resume_the_other(tmp_path: Path) -> None:
    plain, report = fit_toy(options(tmp_path / "plain", epochs=1), dropout=0.0)
    mirrored, same = fit_toy(options(tmp_path / "mirrored", epochs=1, strategy="mirrored"), dropout=0.0)
    assert strategy.end()
    assert not strategy.end()
    assert same.best["val_loss"] == pytest.approx(report.best["val_loss"], rel=1e-4)
    for a, b in zip(mirrored.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    _, again = fit_toy(options(tmp_path / "mirrored", epochs=1, resume=True), dropout=0.0)
    assert again.history == same.history


def test_each_replica_takes_its_share_of_a_batch_and_never_nothing() -> None:
    batch = {"points": np.arange(5), "length": np.arange(5) * 10}, np.arange(5)
    shares = [share(batch, replica, 2) for replica in range(2)]
    assert [targets.numpy().tolist() for _, targets in shares] == [[0, 2, 4], [1, 3]]
    assert shares[1][0]["length"].numpy().tolist() == [10, 30]
    assert [share(np.array([7, 8]), replica, 3).numpy().tolist() for replica in range(3)] == [[7], [8], [7]]


@pytest.mark.parametrize(
    ("cluster", "task", "chief"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("chief", 0), True),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("worker", 0), False),
    ],
)
def test_one_of_several_machines_writes(
    monkeypatch: pytest.MonkeyPatch, cluster: dict[str, list[str]], task: tuple[str, int], chief: bool
) -> None:
    config = {"cluster": cluster, "task": {"type": task[0], "index": task[1]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert strategy.is_chief("multi_worker") is chief
    assert strategy.is_chief("mirrored")


def test_several_machines_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="Expected TF_CONFIG to name the machines"):
        strategy.begin("multi_worker")
