"""The command line: `python -m training forecaster|sketchrnn|video`, `evaluate FAMILY` and `data NAME`."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import typer

FAMILIES = {
    "forecaster": "Train the forecaster of daily series and export it.",
    "sketchrnn": "Train the classifier of drawings and export it.",
    "video": "Train the classifier of short clips and export it.",
}

TOOLS = {
    "data": (
        "Prepare a dataset for training, and draw samples of it; or list what there is.",
        "training.datasets.command",
    ),
    "search": ("Train with many options, and say which are best.", "training.search"),
}


def app(arguments: Sequence[str]) -> typer.Typer:
    """The commands; of the families, only those among the arguments are imported, so that --help is quick."""
    commands = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Train the sequence models, export them as SavedModels, and measure what was exported.",
    )
    evaluations = typer.Typer(no_args_is_help=True, help="Measure an exported version on the test split.")
    for name, about in FAMILIES.items():
        commands.command(name, help=about)(_command(name, "train", arguments))
        evaluations.command(name, help=f"Measure an exported {name} on the test split.")(
            _command(name, "evaluate", arguments)
        )
    evaluations.command("all", help="Measure the models of all families.")(
        import_module("training.evaluations").evaluate_all if arguments[:2] == ["evaluate", "all"] else _listed
    )
    commands.add_typer(evaluations, name="evaluate")
    for name, (about, module) in TOOLS.items():
        asked = arguments[:1] == [name]
        commands.command(name, help=about)(getattr(import_module(module), name) if asked else _listed)
    return commands


def _command(family: str, action: str, arguments: Sequence[str]) -> Callable[..., Any]:
    asked = ["evaluate", family] if action == "evaluate" else [family]
    if list(arguments[: len(asked)]) != asked:
        return _listed
    return getattr(import_module(f"training.{family}.{action}"), action)


def _listed() -> None:
    """Stands for a command that was not asked for, and is only listed."""


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    arguments = sys.argv[1:]
    try:
        app(arguments)(arguments, prog_name="python -m training")
    # Wrong data, options or folders, a fit that diverged, a program that failed: the message says what is wrong.
    except (ValueError, OSError, FloatingPointError, subprocess.CalledProcessError) as error:
        typer.secho(f"Error: {error}", err=True, fg="red")
        sys.exit(2)


if __name__ == "__main__":
    main()
