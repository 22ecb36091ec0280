import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import typer

from training.__main__ import app
from training.fitting import FitOptions

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
COMMANDS = [
    line.partition("python -m training ")[2]
    for block in re.findall(r"```\n(.*?)```", TEXT, flags=re.DOTALL)
    for line in block.splitlines()
    if "python -m training " in line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_commands_and_their_options_exist(line: str) -> None:
    words, _, rest = line.partition(" -- ")
    parse(shlex.split(words))
    if rest:  # what a search gives to the family's command
        parse([shlex.split(words)[1], *shlex.split(rest)])


def parse(words: list[str]) -> None:
    """As the command line does, which refuses what it does not know, but without running anything."""
    command = typer.main.get_command(app(words))
    while hasattr(command, "resolve_command"):  # a group
        _, command, words = command.resolve_command(command.make_context("training", list(words)), words)
    command.make_context("training", words)


def test_every_shared_option_is_documented() -> None:
    names = [field.name.replace("_", "-") for field in dataclasses.fields(FitOptions)]
    internal = {"fixed", "export"}  # of which --no-export is the option
    assert [name for name in names if name not in internal and f"--{name}" not in TEXT] == []
