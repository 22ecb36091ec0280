"""Reads a command line as the program does, without running anything."""

from collections.abc import Sequence

import typer

from training.__main__ import app


def parse(words: Sequence[str]) -> None:
    """Raises what the program ends with where it does not know a command or an option, or misses one."""
    rest = list(words)
    command = typer.main.get_command(app(rest))
    while hasattr(command, "resolve_command"):  # a group
        _, command, rest = command.resolve_command(command.make_context("training", list(rest)), rest)
    command.make_context("training", rest)
