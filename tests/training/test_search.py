import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.search import _space, link_shared, locked, open_study, optimise
from training.search_spaces import SPACES, Choice, Range, Space, Value, parse
from training.trials import train_in_a_process

from .search_slowly import SPACE, parabola

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_finds_what_is_good_and_says_what_it_tried(tmp_path: Path, sampler: str) -> None:
    study = open_study(tmp_path, SPACE, sampler=sampler, pruner="none", asked=["toy"])
    optimise(study, SPACE, parabola, tmp_path, trials=12)
    assert study.best_value < 0.3
    tried = rows(tmp_path)
    assert [row["trial"] for row in tried] == [str(number) for number in range(12)]
    assert {row["state"] for row in tried} == {"complete"}
    best = min(tried, key=lambda row: float(row["score"]))
    assert float(best["place"]) == study.best_trial.user_attrs["options"]["place"]
    assert (tmp_path / "trials.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_trials_that_lag_behind_are_stopped_early(tmp_path: Path, pruner: str) -> None:
    study = open_study(tmp_path, SPACE, sampler="random", pruner=pruner, asked=["toy"])
    optimise(study, SPACE, parabola, tmp_path, trials=12)
    by_state: dict[str, list[dict[str, str]]] = {}
    for row in rows(tmp_path):
        by_state.setdefault(row["state"], []).append(row)
    assert len(by_state["pruned"]) >= 3
    assert {row["epochs"] for row in by_state["complete"]} == {"4"}
    assert sum(int(row["epochs"]) < 4 for row in by_state["pruned"]) >= 3
    assert study.best_trial.state == optuna.trial.TrialState.COMPLETE


def test_a_grid_is_tried_once_and_ends(tmp_path: Path) -> None:
    space = Space(monitor="loss", mode="max", options={"place": Range(0.0, 1.0), "side": Choice(("left", "right"))})
    study = open_study(tmp_path, space, sampler="grid", pruner="none", asked=["toy"])
    for _ in range(2):
        optimise(study, space, parabola, tmp_path, trials=20, sampler="grid")
    tried = sorted((float(row["place"]), row["side"]) for row in rows(tmp_path))
    assert tried == [(place, side) for place in (0.0, 0.5, 1.0) for side in ("left", "right")]


def test_a_killed_search_goes_on_in_the_trial_that_it_was_in(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "search_slowly.py"), str(tmp_path), "3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "trials" / "001" / "2").exists():  # the third epoch of the second trial
            assert process.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()

    study = open_study(tmp_path, SPACE, sampler="tpe", pruner="none", asked=["toy"])
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "RUNNING"]
    tried = study.trials[1].params["place"]
    optimise(study, SPACE, parabola, tmp_path, trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.trials[1].params["place"] == tried
    assert len({trial.params["place"] for trial in study.trials}) == 3
    assert (tmp_path / "trials" / "001" / "begun").read_text() == "twice"


def test_a_search_goes_on_with_what_it_was_begun_with_only(tmp_path: Path) -> None:
    open_study(tmp_path, SPACE, sampler="tpe", pruner="none", asked=["toy"])
    open_study(tmp_path, SPACE, sampler="random", pruner="asha", asked=["toy"])
    with pytest.raises(ValueError, match=r"Expected the search that was begun.*Received: \[\[\"toy\", \"--more\"\]"):
        open_study(tmp_path, SPACE, sampler="tpe", pruner="none", asked=["toy", "--more"])


def test_two_searches_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match="without a search at work"), locked(tmp_path):
        pass


def test_a_failed_trial_is_passed_over_but_not_many(tmp_path: Path) -> None:
    calls: list[int] = []

    def fails(options: Mapping[str, Value], place: Path) -> Iterator[float]:
        calls.append(len(calls))
        if calls[-1] != 1:
            raise RuntimeError("diverged")
        yield from parabola(options, place)

    study = open_study(tmp_path, SPACE, sampler="random", pruner="none", asked=["toy"])
    with pytest.raises(ValueError, match="Received: 3 failures, diverged"):
        optimise(study, SPACE, fails, tmp_path, trials=9)
    assert [row["state"] for row in rows(tmp_path)] == ["fail", "complete", "fail", "fail", "fail"]


WRITE_A_LOG = """
import sys, time
from pathlib import Path
run = Path(sys.argv[sys.argv.index("--run") + 1])
assert "--no-export" in sys.argv
lines = ["epoch,loss,val_loss"]
for epoch in range(int(sys.argv[1])):
    lines.append(f"{epoch + 1},1.0,{0.5 / (epoch + 1)}")
    (run / "log.new").write_text("\\n".join(lines) + "\\n")
    (run / "log.new").rename(run / "log.csv")
if sys.argv[2] == "fail":
    sys.exit("Error: no such data")
if sys.argv[2] == "hang":
    time.sleep(600)
"""


def log(tmp_path: Path, epochs: int, then: str, monitor: str = "val_loss") -> Iterator[float]:
    return train_in_a_process(["-c", WRITE_A_LOG, str(epochs), then], tmp_path / "run", monitor)


def test_a_trial_gives_the_scores_of_its_log(tmp_path: Path) -> None:
    assert list(log(tmp_path, 3, "end")) == [0.5, 0.25, pytest.approx(1 / 6)]
    with pytest.raises(ValueError, match=r"Expected a log with val_accuracy. Received: epoch, loss, val_loss"):
        list(log(tmp_path, 3, "end", "val_accuracy"))
    with pytest.raises(RuntimeError, match=r"Error: no such data \(exit 1"):
        list(log(tmp_path, 2, "fail"))


def test_a_trial_ends_with_its_reader_and_a_stray_one_with_the_next(tmp_path: Path) -> None:
    trial = log(tmp_path, 1, "hang")
    assert next(trial) == 0.5
    pid = int((tmp_path / "run" / "lock").read_text())
    os.kill(pid, 0)
    trial.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

    stray = log(tmp_path, 1, "hang")
    next(stray)
    again = log(tmp_path, 2, "end")  # as after the search was killed, and its trial was not
    assert list(again) == [0.5, 0.25]
    with pytest.raises(RuntimeError, match=f"exit {-signal.SIGTERM}"):
        list(stray)


def test_trials_share_what_does_not_depend_on_their_options(tmp_path: Path) -> None:
    for number in ("000", "001", "001"):  # the last one again
        link_shared(tmp_path / "trials" / number, tmp_path, ["clips"])
    (tmp_path / "trials" / "000" / "clips" / "train.npy").touch()
    assert (tmp_path / "trials" / "001" / "clips" / "train.npy").exists()


def test_options_to_vary_are_ranges_or_choices() -> None:
    assert parse(["learning-rate=1e-4..1e-2", "optimizer=adam,sgd", "units=8,16"]) == {
        "learning-rate": Range(1e-4, 1e-2),
        "optimizer": Choice(("adam", "sgd")),
        "units": Choice((8, 16)),
    }
    assert Range(1e-4, 1e-2).grid() == [1e-4, 1e-3, 1e-2]
    assert Range(0, 0.4).grid() == [0, 0.2, 0.4]
    assert [repr(value) for value in Range(32, 129).grid()] == ["32", "80", "129"]
    assert Range(1, 2).grid() == [1, 2]
    for wrong in ("units", "=1..2", "units=2..1", "units=1..many", "units="):
        with pytest.raises(ValueError, match=r"Expected NAME=LOW..HIGH or NAME=A,B,C. Received"):
            parse([wrong])


def test_ranges_of_whole_numbers_give_whole_numbers(tmp_path: Path) -> None:
    space = replace(SPACE, options=parse(["units=4..400", "layers=1..3", "rate=1..2.5"]))
    study = open_study(tmp_path, space, sampler="random", pruner="none", asked=["toy"])
    for _ in range(9):
        trial = study.ask()
        found = {name: option.suggest(trial, name) for name, option in space.options.items()}
        assert {name: type(value) for name, value in found.items()} == {"units": int, "layers": int, "rate": float}
        assert 4 <= found["units"] <= 400


def test_options_fixed_for_all_trials_are_not_varied() -> None:
    for fixed in (["--learning-rate", "0.01"], ["--learning-rate=0.01"]):
        assert "learning-rate" not in _space(SPACES["video"], [], fixed).options
        with pytest.raises(ValueError, match=r"not fixed after --. Received: learning-rate"):
            _space(SPACES["video"], ["learning-rate=1e-4..1e-2"], fixed)


@pytest.mark.parametrize("fixed", [["--arch", "lstm"], ["--arch=lstm"]])
def test_what_an_architecture_has_no_use_for_is_not_varied(fixed: list[str]) -> None:
    whole = _space(SPACES["forecaster"], [], [])
    assert whole.options.keys() - _space(SPACES["forecaster"], [], fixed).options.keys() == {"units"}


@pytest.mark.parametrize("family", SPACES)
def test_what_a_family_varies_are_options_of_its_command(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    printed = CliRunner().invoke(app([family, "--help"]), [family, "--help"]).output
    assert [name for name in SPACES[family].options if f"--{name} " not in printed] == []


def test_a_family_is_searched_by_its_own_command(tmp_path: Path) -> None:
    command = ["search", "forecaster", "--folder", str(tmp_path), "--trials", "1", "--vary", "units=4"]
    rest = ["--", "--generated", "2", "--steps", "1", "--epochs", "1", "--batch-size", "4"]
    done = CliRunner().invoke(app(command), command + rest, catch_exceptions=False)
    assert "Best of 1: trial 0, val_loss" in done.output
    assert "training forecaster --generated 2 --steps 1 --epochs 1 --batch-size 4 --units 4" in done.output
    assert (tmp_path / "trials" / "000" / "metrics.json").exists()
