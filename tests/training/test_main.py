import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.__main__ import app, main

ROOT = Path(__file__).resolve().parents[2]
QUICK = """
import runpy, sys
sys.argv = ["training", *{arguments}]
try:
    runpy.run_module("training", run_name="__main__")
except SystemExit as end:
    print("exit", end.code)
print("imported", sorted({{"keras", "tensorflow", "numpy"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"]])
def test_help_names_the_families_and_imports_none_of_them(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(arguments=arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for family in ("forecaster", "sketchrnn", "video"):
        assert family in done.stdout
    assert "exit 0" in done.stdout
    assert "imported []" in done.stdout


@pytest.mark.parametrize("family", ["forecaster", "sketchrnn", "video"])
@pytest.mark.parametrize("before", [[], ["evaluate"]])
def test_every_option_has_a_description(family: str, before: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments = [*before, family, "--help"]
    printed = CliRunner().invoke(app(arguments), arguments).output
    options = [line.strip("│ ").removeprefix("*").split() for line in printed.splitlines() if " --" in line]
    assert {"--data"} <= {words[0] for words in options if words}
    assert not [words[0] for words in options if words and words[0].startswith("--") and len(words) < 4]


def test_wrong_data_ends_with_a_message_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sketchrnn", "--data", str(tmp_path / "nowhere"), "--run", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "Error: Expected a folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (FloatingPointError("Training diverged in epoch 2. Received: loss nan"), "Error: Training diverged in epoch 2"),
        (subprocess.CalledProcessError(1, ["ffmpeg"]), "Error: Command '['ffmpeg']' returned non-zero exit status 1"),
    ],
    ids=["diverged", "a program failed"],
)
def test_what_goes_wrong_later_ends_with_a_message_too(
    failure: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("training.__main__.app", lambda arguments: fails)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err
