import json
import os
import subprocess
import sys

import pytest

from benchmarks.__main__ import _options
from benchmarks.load import LoadError
from benchmarks.processes import Group, NotStarted, running
from benchmarks.report import save, table
from benchmarks.rounds import Goal, Study, Variant, judge, measure
from benchmarks.studies import STUDIES


def figures(rate, p50=1.0, p99=2.0):
    return {"rate": rate, "p50": p50, "p99": p99}


def test_variants_take_turns_and_the_first_round_does_not_count():
    order = []

    def run(name):
        def measured(seconds):
            order.append((name, seconds))
            return figures(len(order))

        return measured

    study = Study("s", "t", [Variant("a", run("a")), Variant("b", run("b"))])
    results = measure(study, 2, 5.0, lambda text: None)
    assert order == [("a", 2.0), ("b", 2.0), ("a", 5.0), ("b", 5.0), ("a", 5.0), ("b", 5.0)]
    assert [each["rate"] for each in results["a"]] == [3, 5]


def test_a_variant_that_fails_is_left_out_and_said():
    def fails(_):
        raise LoadError("all answers were errors")

    said = []
    study = Study(
        "s", "t", [Variant("a", lambda seconds: figures(1)), Variant("b", fails)], [Goal("g", "a", "rate", 1, over="b")]
    )
    results = measure(study, 2, 1.0, said.append)
    assert list(results) == ["a"]
    assert sum("all answers were errors" in text for text in said) == 1
    assert judge(study.goals, results) == []


def test_goals_are_medians_of_the_rounds_own_ratios():
    results = {
        "a": [figures(100), figures(300), figures(300)],
        "b": [figures(100, p50=2.0), figures(100, p50=2.0), figures(200, p50=2.0)],
    }
    rate, ours, late = judge(
        [
            Goal("ratio", "a", "rate", 1.5, over="b"),
            Goal("ratio", "a", "rate", 1.6, over="b"),
            Goal("late", "a", "p99", 0.5, over="b", over_figure="p50", at_least=False),
        ],
        results,
    )
    assert (rate.median, rate.low, rate.high, rate.met) == (1.5, 1.0, 3.0, True)
    assert not ours.met
    assert (late.median, late.met) == (1.0, False)


def test_what_is_saved_says_how_it_was_measured(tmp_path):
    study = Study(
        "s", "One series", [], [Goal("twice", "a", "rate", 2, over="b")], ["Triton is left out: not installed"]
    )
    results = {"a": [figures(300)], "b": [figures(100, 0.5)]}
    judged = judge(study.goals, results)
    text = table(study, results, judged)
    assert "| a | 300 | 1.00 | 2.00 |" in text
    assert "| twice | ≥ 2 | 3.00 | 3.00 to 3.00 | met |" in text
    assert text.endswith("Triton is left out: not installed")
    data, plot = save(tmp_path, study, results, judged, "python -m benchmarks", 0.1)
    about = json.loads(data.read_text())
    assert about["command"] == "python -m benchmarks"
    assert about["machine"]["cores"] >= 1
    assert about["versions"]["tensorflow"]
    assert about["goals"][0]["met"] is True
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_options_pass_the_servers_own_on():
    options, flags = _options([])
    assert (options.studies, str(options.reports), flags) == (["single"], "reports/benchmarks", [])
    options, flags = _options(["--studies", "single", "batch", "--save", "--workers", "1"])
    assert (options.studies, str(options.reports), flags) == (
        ["single", "batch"],
        "docs/benchmarks",
        ["--workers", "1"],
    )
    with pytest.raises(SystemExit):
        _options(["--studies", "everything"])


def test_help_names_every_study_and_where_the_load_comes_from(capsys):
    with pytest.raises(SystemExit):
        _options(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in STUDIES)
    assert "nghttp2-client" in text


def test_a_server_that_ends_is_not_waited_for(tmp_path):
    command = [sys.executable, "-c", "print('no such model')"]
    with pytest.raises(NotStarted, match="no such model"), running(command, lambda: False, tmp_path / "log"):
        pass


def test_a_group_stands_still_and_goes_on():
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        try:
            group = Group(process.pid)
            assert group.resident_bytes() > 0
            with group.still():
                _, status = os.waitpid(process.pid, os.WUNTRACED)
                assert os.WIFSTOPPED(status)
            _, status = os.waitpid(process.pid, os.WCONTINUED)
            assert os.WIFCONTINUED(status)
        finally:
            process.kill()
