"""What was measured, as a table on the terminal and as JSON and a plot in a folder."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.rounds import Judged, Results, Study, medians

PACKAGES = ("seqserve", "tensorflow", "grpcio", "uvicorn", "bentoml", "litserve")
_HEADS = {"rate": "answers/s", "p50": "p50 ms", "p99": "p99 ms", "seconds": "s", "mebibytes": "MiB"}


def table(study: Study, results: Results, judged: Sequence[Judged]) -> str:
    """Markdown: a row for each variant, then one for each goal, then the notes."""
    rows = medians(results)
    keys = [key for key in _HEADS if any(key in row for row in rows.values())]
    lines = [f"{study.title}\n", f"| | {' | '.join(_HEADS[key] for key in keys)} |", f"|---|{'---:|' * len(keys)}"]
    lines += [f"| {name} | {' | '.join(_number(row.get(key)) for key in keys)} |" for name, row in rows.items()]
    if judged:
        lines += ["", "| goal | asked | median | over the rounds | |", "|---|---:|---:|---:|---|"]
    for each in judged:
        bound = f"{'≥' if each.goal.at_least else '≤'} {each.goal.limit:g}"
        spread = f"{_number(each.low)} to {_number(each.high)}"
        lines.append(f"| {each.goal.what} | {bound} | {_number(each.median)} | {spread} | {_verdict(each)} |")
    return "\n".join([*lines, *(f"\n{note}" for note in study.notes)])


def save(
    folder: Path, study: Study, results: Results, judged: Sequence[Judged], command: str, load: float
) -> Sequence[Path]:
    """Writes <study>.json and <study>.png; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, plot = folder / f"{study.name}.json", folder / f"{study.name}.png"
    about = {
        "study": study.name,
        "title": study.title,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(load),
        "versions": versions(),
        "medians": _rounded(medians(results)),
        "rounds": {name: [_rounded(each) for each in figures] for name, figures in results.items()},
        "goals": [
            {
                "what": each.goal.what,
                "limit": each.goal.limit,
                "at_least": each.goal.at_least,
                "median": round(float(each.median), 3),
                "low": round(float(each.low), 3),
                "high": round(float(each.high), 3),
                "met": each.met,
            }
            for each in judged
        ],
        "notes": list(study.notes),
    }
    data.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _plot(plot, study, results)
    return data, plot


def machine(load: float) -> dict[str, object]:
    """load: the load average before anything was started."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(load, 2),
        "system": platform.system() + " " + platform.release().partition("-")[0],
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _plot(path: Path, study: Study, results: Results) -> None:
    """Bars of the first figure, with a mark for each round."""
    from matplotlib.figure import Figure

    rows = medians(results)
    key = next(key for key in _HEADS if any(key in row for row in rows.values()))
    names = [name for name in rows if key in rows[name]]
    figure = Figure(figsize=(9, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [rows[name][key] for name in names], color="#7aa6c2")
    for place, name in enumerate(names):
        values = [each[key] for each in results[name]]
        axes.plot(values, [place] * len(values), "|", color="#1b3a4b", markersize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"{_HEADS[key]} (bar: median; marks: rounds)")
    axes.set_title(study.title, fontsize=10, loc="left")
    figure.savefig(path, dpi=80)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _verdict(each: Judged) -> str:
    return "met" if each.met else "missed"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _rounded(figures: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _rounded(value) if isinstance(value, Mapping) else round(float(str(value)), 4)
        for name, value in figures.items()
    }
