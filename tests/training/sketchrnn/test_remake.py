import os
import shlex
import subprocess
from pathlib import Path

import typer

from training.sketchrnn.train import train

SCRIPT = Path(__file__).parents[3] / "training" / "sketchrnn" / "remake.sh"


def test_what_made_the_shipped_model_are_commands_that_exist(tmp_path: Path) -> None:
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "python").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(SCRIPT), "PATH/quickdraw"], check=True, env=environment)
    asked = [shlex.split(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [words[:5] for words in asked] == [["-m", "training", "sketchrnn", "--data", "PATH/quickdraw"]] * 4
    app = typer.Typer()
    app.command()(train)
    contexts = [typer.main.get_command(app).make_context("sketchrnn", words[3:]) for words in asked]
    runs = [context.params["run"] for context in contexts]
    begun = [Path(source) for context in contexts for source in context.params["start_from"] or ()]
    assert [context.params["arch"] for context in contexts] == ["conv_bilstm", "conv_bilstm", "residual_cnn", "fusion"]
    assert begun == runs[:3]  # each begins where one before it ended, and only the last is exported
    assert [context.params["export"] for context in contexts] == [False, False, False, True]
