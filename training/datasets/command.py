"""`python -m training data`: lists datasets, prepares one, and shows what is in it."""

from pathlib import Path
from typing import Annotated

import typer

from training.datasets import prepared
from training.datasets.prepare import ABOUT, prepare

NAME = "Dataset, and which part or your name for it: sketch_rnn/animals, daily_series/shops. Default: list them."
SOURCE = "Folder or file to read it from. Of sketch_rnn: a copy of the published files."
DATA_DIR = "Folder of prepared datasets. Default: TFDS_DATA_DIR, else ~/tensorflow_datasets."
SHEET = "PNG file for samples. Default: runs/data/NAME.png."


def data(
    name: Annotated[str | None, typer.Argument(help=NAME, show_default=False)] = None,
    source: Annotated[Path | None, typer.Option("--from", help=SOURCE, show_default=False)] = None,
    data_dir: Annotated[Path | None, typer.Option(help=DATA_DIR, show_default=False)] = None,
    sheet: Annotated[Path | None, typer.Option(help=SHEET, show_default=False)] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Prepare it again, although it is prepared.")] = False,
) -> None:
    """Prepare a dataset for training, and draw samples of it; without a name, list what there is."""
    if name is None:
        _list(data_dir or prepared.data_dir())
        return
    version = prepare(name, source=source, data_dir=data_dir, anew=anew)

    from training.datasets.sheets import draw  # brings matplotlib

    known = version.relative_to(data_dir or prepared.data_dir()).parent.as_posix()
    target = sheet or Path("runs/data") / f"{known.replace('/', '-')}.png"
    draw(version, target)
    counts = ", ".join(f"{count:,} {split}" for split, count in prepared.counts(version).items())
    typer.echo(f"{known}: {counts} in {version}\nSamples: {target}")
    if family := prepared.FAMILIES.get(prepared.about(version)["name"]):
        option = known if data_dir is None else version
        typer.echo(f"Train on it: python -m training {family} --data {option}")


def _list(data_dir: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    there = prepared.versions(data_dir)
    table = Table("dataset", "what it is", "prepared", title=f"Datasets, and those in {data_dir}")
    for name, about in ABOUT.items():
        mine = [f"{known} {version.name}" for known, version in there.items() if known.split("/")[0] == name]
        table.add_row(name, about, "\n".join(mine))
    Console().print(table)
