"""Exports the weights of a version again, with the graph that is built today: `python -m training.forecaster.renew`."""

from pathlib import Path
from typing import Annotated

import typer

from training.forecaster import export, model


def renew(
    version: Annotated[Path, typer.Argument(help="The version whose weights, card and facts to take.")],
    models: Annotated[Path, typer.Option(help="Folder that receives forecaster/<version>.")] = Path("models"),
    arch: Annotated[str, typer.Option(help="Its architecture.")] = "weekly",
    units: Annotated[int, typer.Option(help="Width of its layers.")] = 96,
    cell: Annotated[str, typer.Option(help="lstm or gru.")] = "lstm",
) -> None:
    """Write an exported forecaster as the next version, after a change of its graph that kept the weights."""
    config = model.ForecasterConfig(architecture=arch, units=units, cell=cell)
    typer.echo(str(export.renew(version, models, config)))


if __name__ == "__main__":
    typer.run(renew)
