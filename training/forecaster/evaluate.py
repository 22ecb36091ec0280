"""`python -m training evaluate forecaster`: versions and statistical models from the same rolling origins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tensorflow as tf
import typer

from training import report, saving
from training.forecaster import baselines, comparison, data, public_holidays, rolling
from training.forecaster.export import WITH_HOLIDAYS, joined
from training.forecaster.train import parse_split

_EVERY = "FILE=N: forecast from every Nth day of a file's test part only. Default: from every day."

_SIZES = (1, 64)  # of batches; each further one would be compiled anew, which takes longer than it runs


def evaluate(
    folder: Annotated[Path, typer.Option("--data", help="CSV file, folder of them, or prepared dataset.")],
    model: report.Models,
    column: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
    holidays: Annotated[list[str] | None, typer.Option(help="As in training; asks with_holidays, too.")] = None,
    every: Annotated[list[str] | None, typer.Option(help=_EVERY)] = None,
    undated: Annotated[bool, typer.Option("--undated", help="Keep the dates from the models.")] = False,
    fitted: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Whether to fit AutoETS, AutoTheta and AutoARIMA.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps what these forecast, as they take hours.")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness/--no-robustness", help="Whether to measure on changed series, too.")
    ] = True,
    save: report.Save = None,
) -> None:
    """Print how far versions and statistical models were off on the test part of every file, from the same origins."""
    places = public_holidays.parse(holidays or [])
    series = public_holidays.flagged(data.read(folder, column), places)
    parts = rolling.groups(series, parse_split(split or []), parse_every(every or []))
    rows = [row for version in model for row in _of_version(version, parts, undated=undated, flagged=bool(places))]
    rows.append(comparison.Row("seasonal naive", {}, [rolling.forecasts(rolling.naive, part) for part in parts]))
    if fitted:
        rows += _of_baselines(parts, cache)
    first = served(model[0], undated=undated)
    section = comparison.section(parts, rows, forecaster=first if robustness else None)
    report.publish(section, save)


def _of_version(version: Path, parts: Sequence[rolling.Group], *, undated: bool, flagged: bool) -> list[comparison.Row]:
    found = report.model_columns(version, _request(parts[0]))
    facts = report.facts(version)
    found["never saw"] = ", ".join(facts.get("left_out", [])) or None
    plain = served(version, undated=undated)
    rows = [comparison.Row(str(version), found, [rolling.forecasts(plain, part) for part in parts], facts)]
    if flagged and WITH_HOLIDAYS in tf.saved_model.load(str(version)).signatures:
        informed = served(version, undated=undated, signature=WITH_HOLIDAYS)
        made = [
            rolling.forecasts(informed, part) if part.spans[0].series.holidays is not None else None for part in parts
        ]
        rows.append(comparison.Row(f"{version}, {WITH_HOLIDAYS}", {"architecture": found["architecture"]}, made))
    return rows


def _of_baselines(parts: Sequence[rolling.Group], cache: Path | None) -> list[comparison.Row]:
    made = {name: [baselines.fitted(part.pairs(), name, cache) for part in parts] for name in baselines.FITTED}
    rows = [comparison.Row(name, {}, found) for name, found in made.items()]
    several = zip(*made.values(), strict=True)
    return [*rows, comparison.Row(baselines.MEAN, {}, [baselines.mean_of(group) for group in several])]


def _request(part: rolling.Group) -> dict[str, np.ndarray]:
    one, ends = part.pairs()[0]
    inputs, _ = data.batch([data.window(one, int(ends[0]))])
    return {"history": inputs["history"], "end_day": inputs["end_day"]}


def served(version: Path, *, undated: bool = False, signature: str = saving.SIGNATURE) -> rolling.Forecaster:
    """One signature of an exported version as a forecaster."""
    function = tf.saved_model.load(str(version)).signatures[signature]
    wanted = set(function.structured_input_signature[1])

    def forecast(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        count = len(inputs["history"])
        rows = next((size for size in _SIZES if size >= count), count)
        given = {name: tf.constant(_filled_up(array, rows)) for name, array in inputs.items() if name in wanted}
        if undated:
            given["end_day"] = -tf.ones_like(given["end_day"])
        return joined(function(**given))[:count]

    return forecast


def _filled_up(array: np.ndarray, rows: int) -> np.ndarray:
    """So many rows, the last one repeated."""
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def parse_every(given: Sequence[str]) -> dict[str, int]:
    """`["nn5=10"]` as a mapping from file name to how many days lie between origins."""
    parsed = {}
    for item in given:
        name, _, step = item.rpartition("=")
        if not name or not step.isdigit() or int(step) < 1:
            raise ValueError(f"expected FILE=DAYS, at least one day. Received: {item}")
        parsed[name] = int(step)
    return parsed
