"""How studies are put together, without what they start: servers take a minute to compile."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ours
from benchmarks.load import Target
from benchmarks.processes import Group
from benchmarks.rounds import judge, measure
from benchmarks.studies import STUDIES, batch, memory, open_loop, single, sketches, start, video, workers
from benchmarks.studies.setting import Setting
from loadtests.server import Addresses

MODELS = Path(__file__).parents[2] / "models"
FIGURES = {"rate": 100.0, "p50": 1.0, "p99": 2.0}


class Still:
    """A model alone, or several, that answer at once."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def answer(self, rows=1):
        return np.zeros((rows, 7), np.float32)

    def measure(self, *_):
        return FIGURES


@pytest.fixture
def nothing_starts(monkeypatch):
    """What was asked to start, and what was loaded, in order."""
    asked = []

    @contextlib.contextmanager
    def serving(models, flags, *_, **__):
        asked.append((sorted(entry.name for entry in models.iterdir()), list(flags)))
        yield ours.Ours(Group(2**30), Addresses("http://h", "http://127.0.0.1:1", "127.0.0.1:2"))

    for module in (batch, memory, open_loop, single, sketches, start, video, workers):
        for name, fake in {"serving": serving, "Alone": Still, "Together": Still}.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, fake)
    monkeypatch.setattr(single, "PEERS", {})
    monkeypatch.setattr(Target, "check", lambda target, expected: None)
    monkeypatch.setattr(Target, "ask", lambda target: b"")
    monkeypatch.setattr(Target, "load", lambda target, connections, seconds: FIGURES)
    monkeypatch.setattr(ours.Ours, "compiled", lambda server: time.monotonic())
    monkeypatch.setattr(Group, "resident_bytes", lambda group: 2**20)
    monkeypatch.setattr(memory, "grpc_count", lambda target, connections, requests: None)
    monkeypatch.setattr(open_loop, "poisson_load", lambda target, rate, seconds: FIGURES)
    monkeypatch.setattr(sketches, "rest_load", lambda targets, connections, seconds: FIGURES)
    monkeypatch.setattr(sketches, "_compare", lambda mine, theirs: None)
    return asked


@pytest.mark.parametrize("name", STUDIES)
def test_every_goal_is_about_what_is_measured(name, nothing_starts, tmp_path):
    drawings = np.empty(400, object)
    for which in range(len(drawings)):
        drawings[which] = np.ones((3 + which, 3), np.int16)
    np.savez(tmp_path / "cat.npz", valid=drawings)
    with contextlib.ExitStack() as stack:
        study = STUDIES[name](stack, Setting(MODELS, tmp_path, drawings=tmp_path, flags=["--xla", "false"]))
        assert study.name == name
        results = measure(study, 1, 1.0, lambda text: None)
    assert set(results) == {variant.name for variant in study.variants}
    told = judge(study.goals, results)
    missing = [goal for goal in study.goals if goal not in [each.goal for each in told]]
    # Without peers there is nothing to say of them.
    assert all(any(peer in goal.over for peer in ("Triton", "BentoML", "LitServe")) for goal in missing)
    assert all(flags[:2] == ["--xla", "false"] for _, flags in nothing_starts)


def test_drawings_are_padded_to_the_longest_by_the_other_server(tmp_path):
    folder = tmp_path / "padding"
    folder.mkdir()
    assert sketches._with_one_bucket(MODELS, folder) == 256
    (rules,) = folder.rglob("inputs.json")
    assert '"buckets": [256]' in rules.read_text()
