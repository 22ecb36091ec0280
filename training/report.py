"""What the families' evaluations share: a row a model, intervals, and sections of docs/accuracy.md with their plots."""

import io
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Models = Annotated[list[Path], typer.Option("--model", help="Version directory to measure; repeatable.")]
Save = Annotated[
    Path | None, typer.Option(help="Folder with accuracy.md, whose section is replaced, and accuracy/, for the plots.")
]
LARGEST_PLOT = 100_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Section:
    """What an evaluation found: Markdown for docs/accuracy.md, and plots by name.

    A plot named `fans` of the forecaster becomes accuracy/forecaster-fans.png, which the Markdown refers to by that
    path.
    """

    family: str
    markdown: str
    plots: Mapping[str, "Figure"] = field(default_factory=dict)


def write(section: Section, docs: Path) -> None:
    """Replace what stands between `<!-- family -->` and `<!-- /family -->` in docs/accuracy.md, and the plots.

    Raises:
        ValueError: the file has no such place, or more than one.
    """
    page = docs / "accuracy.md"
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {section.family} -->\n", f"<!-- /{section.family} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"Expected the lines {begin.strip()} and {end} once each, in this order. Received: {page}")
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    if section.plots:
        (docs / "accuracy").mkdir(exist_ok=True)
    for name, figure in section.plots.items():
        (docs / "accuracy" / f"{section.family}-{name}.png").write_bytes(_png(figure))
    page.write_text(f"{before}\n{section.markdown.strip()}\n\n{after}", encoding="utf-8")


def _png(figure: "Figure") -> bytes:
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    picture = Image.open(drawn).convert("RGB")
    for colours in (256, 64, 16):
        small = io.BytesIO()
        picture.quantize(colours).save(small, format="png", optimize=True)
        if small.tell() < LARGEST_PLOT:
            break
    return small.getvalue()


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with the columns of all rows in the order they come up in; what a row lacks is a dash.

    Integers get thousands separators, floats four digits; write them yourself where others are wanted.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:,.4g}"


def bootstrap(
    values: ArrayLike,
    rng: np.random.Generator,
    *,
    block: int = 1,
    rounds: int = 2000,
    statistic: Callable[..., Any] = np.nanmean,
) -> tuple[float, float]:
    """The 95% interval of the mean of `values` along their first axis.

    block: how many neighbours are drawn together, where they depend on one another, as the days of a series do
    (Künsch, "The Jackknife and the Bootstrap for General Stationary Observations", 1989). statistic: another than the
    mean; it takes an array like `values`, gives a number, and ignores what is NaN.
    """
    drawn_from = np.asarray(values, float)
    if not len(drawn_from) or not 1 <= block <= len(drawn_from):
        raise ValueError(f"Expected values, in blocks no longer than they. Received: {len(drawn_from)}, block {block}")
    count = -(-len(drawn_from) // block)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a round may draw nothing but missing values
        for _ in range(rounds):  # each draws for itself: all at once would be thousands of times the values
            starts = rng.integers(0, len(drawn_from) - block + 1, (count, 1))
            found.append(statistic(drawn_from[(starts + np.arange(block)).ravel()[: len(drawn_from)]]))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def facts(version: Path) -> dict[str, Any]:
    """What the export said of the training, from assets.extra/training.json; nothing where there is no such file."""
    path = version / "assets.extra" / "training.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def model_columns(version: Path, request: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The columns that begin every model's row: where it lies, what it is, what it costs.

    `request` is one example, by input; see `training.latency`.
    """
    from training.latency import latency

    known = facts(version)
    return {
        "model": str(version),
        "architecture": known.get("architecture"),
        "parameters": known.get("parameters"),
        "s an epoch": known.get("seconds_per_epoch"),
        "ms at batch 1": f"{latency(version, request):.2f}",
    }


def publish(section: Section, save: Path | None) -> None:
    """Print what was found; with a folder of documentation, write it there, too."""
    typer.echo(section.markdown)
    if save is not None:
        write(section, save)
