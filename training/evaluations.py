"""`python -m training evaluate all`: the evaluations of all families, one after the other."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from training.report import Save

DATA = "Folder with series/ (CSV files), quickdraw/ (drawings) and video/fight/ (clips)."
CACHE = "Folder that keeps what takes long: forecasts of statistical models, and clips."
MODELS = "Folder whose latest version of each family is measured; repeatable."


def arguments(data: Path, cache: Path) -> dict[str, list[str]]:
    """What each family's own command is given, beside the models."""
    return {
        "forecaster": [
            *("--data", str(data / "series")),
            *("--split", "cta_ridership=2019-01-01"),
            *("--split", "nn5_daily=56"),
            *("--holidays", "cta_ridership=US"),
            *("--holidays", "nn5_daily=GB-ENG"),
            *("--every", "nn5_daily=10"),  # statistical models take a second or two for each forecast
            *("--every", "daily-max-temperatures=20"),
            *("--every", "example_wp_log_peyton_manning=20"),
            *("--cache", str(cache / "baselines")),
        ],
        "sketchrnn": [*("--data", str(data / "quickdraw")), "--robust"],
        "video": [
            *("--over", str(data / "video" / "fight")),
            *("--robust", "20"),
            *("--cache", str(cache / "video" / "clips")),
        ],
    }


def evaluate_all(
    data: Annotated[Path, typer.Option(help=DATA)],
    models: Annotated[list[Path], typer.Option(help=MODELS)] = [Path("models")],  # noqa: B006
    cache: Annotated[Path, typer.Option(help=CACHE)] = Path("runs"),
    save: Save = None,
) -> None:
    """Measure every family's models on the test data, as the families' own commands do; print each command."""
    for family, own in arguments(data, cache).items():
        versions = [latest for folder in models if (latest := latest_version(folder / family))]
        if not versions:
            raise ValueError(f"Expected versions of {family} below {', '.join(map(str, models))}. Received: none")
        measured = [word for version in versions for word in ("--model", str(version))]
        _run([family, *own, *measured, *(["--save", str(save)] if save else [])])


def latest_version(folder: Path) -> Path | None:
    """The version directory of the greatest number, if there is one."""
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _run(words: Sequence[str]) -> None:
    command = ["-m", "training", "evaluate", *words]
    typer.echo(f"python {' '.join(command)}")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, *command], check=False)  # each in a process, whose memory it gives back
    if done.returncode:
        raise typer.Exit(done.returncode)
