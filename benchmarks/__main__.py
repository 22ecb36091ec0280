"""`python -m benchmarks`: start the server, check its answers, then measure it and the model alone in turn."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.alone import Alone
from benchmarks.cases import OUTPUTS, make_case
from benchmarks.load import Figures, LoadError, grpc_load, rest_load
from loadtests.server import Addresses, started

PROGRAMS = {"h2load": ("gRPC", grpc_load), "wrk": ("REST", rest_load)}
PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk"}
BATCHES = {"forecaster": (1, 64), "sketchrnn": (1, 64), "video": (1, 8)}
"""Sizes that the model alone is called with: one, and the most that the server puts together."""


def main() -> None:
    options, flags = _options()
    models = [name for name in OUTPUTS if (options.models / name).is_dir()]
    if not models:
        raise SystemExit(f"expected one of {sorted(OUTPUTS)} in {options.models}, got none")
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores / 2:
        print(f"the machine is busy already (load {load:.1f} on {cores} cores): these figures will mean little")
    results: defaultdict[tuple[str, str], list[Figures]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        addresses = stack.enter_context(started(options.log, ["--models", str(options.models), *flags]))
        runs = [run for model in models for run in _runs(stack, model, addresses, options)]
        for number in range(options.rounds + 1):
            for name, run in runs:
                print(f"\rround {number} of {options.rounds} (0 warms up): {' '.join(name):<50}", end="", flush=True)
                try:
                    figures = run(options.seconds if number else min(2.0, options.seconds))
                except LoadError as error:
                    print(f"\n{' '.join(name)}: left out: {error}")
                    continue
                if number:
                    results[name].append(figures)
    print()
    rows = _rows(results)
    print("\n".join(_table(rows)))
    _save(options, flags, load, rows)


def _options(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Any other flags are the server's, as --workers 1. The load comes from h2load and wrk (Debian: "
        "apt-get install nghttp2-client wrk); what is not installed is left out, and said so.",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="directory of models")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, taken in turn")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64], help="connections of the load")
    parser.add_argument("--reports", type=Path, default=Path("reports/benchmarks"), help="folder for the figures")
    parser.add_argument(
        "--save",
        dest="reports",
        action="store_const",
        const=Path("docs/benchmarks"),
        help="put them in docs/benchmarks",
    )
    parser.add_argument("--log", type=Path, default=Path("runs/benchmarks/server.log"), help="the server's log")
    return parser.parse_known_args(arguments)


def _runs(
    stack: contextlib.ExitStack, model: str, addresses: Addresses, options: argparse.Namespace
) -> list[tuple[tuple[str, str], Callable[[float], Figures]]]:
    """Start the model alone, compare its answer with the server's, and give what is to be measured."""
    versions = [int(entry.name) for entry in (options.models / model).iterdir() if entry.name.isdecimal()]
    alone = stack.enter_context(Alone(model, options.models / model / str(max(versions))))
    case = make_case(model)
    case.check(addresses, alone.answer())
    runs: list[tuple[tuple[str, str], Callable[[float], Figures]]] = [
        ((model, f"alone, batches of {batch}"), partial(alone.measure, batch)) for batch in BATCHES[model]
    ]
    for program, (protocol, load) in PROGRAMS.items():
        if (model, protocol) == ("video", "REST"):
            continue  # frames as text measure little but the reading of numbers
        if shutil.which(program) is None:
            print(f"{model} over {protocol}: left out: {program} is not installed (Debian: {PACKAGES[program]})")
            continue
        for connections in options.connections:
            name = f"{protocol}, {connections} connection{'s' * (connections > 1)}"
            runs.append(((model, name), partial(load, case, addresses, connections)))
    return runs


def _rows(results: dict[tuple[str, str], list[Figures]]) -> list[dict[str, str | float]]:
    """Medians over the rounds, and the rate as a multiple of the model alone at batch 1."""
    rows: list[dict[str, str | float]] = []
    base = 1.0
    for (model, path), figures in results.items():
        medians = {key: round(statistics.median(each[key] for each in figures), 3) for key in ("rate", "p50", "p99")}
        if path == "alone, batches of 1":
            base = medians["rate"]
        rows.append({"model": model, "path": path, **medians, "ratio": round(medians["rate"] / base, 3)})
    return rows


def _table(rows: list[dict[str, str | float]]) -> list[str]:
    lines = ["| model | path | answers/s | p50 ms | p99 ms | x alone |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        figures = "{rate:,.0f} | {p50:.2f} | {p99:.2f} | {ratio:.2f}".format_map(row)
        lines.append(f"| {row['model']} | {row['path']} | {figures} |")
    return lines


def _save(options: argparse.Namespace, flags: list[str], load: float, rows: list[dict[str, str | float]]) -> None:
    now = datetime.now(UTC)
    about = {
        "taken": now.isoformat(timespec="seconds"),
        "command": " ".join(
            ["python -m benchmarks", f"--rounds {options.rounds} --seconds {options.seconds:g}", *flags]
        ),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(load, 2),
        "rows": rows,
    }
    options.reports.mkdir(parents=True, exist_ok=True)
    file = options.reports / f"{now:%Y-%m-%d-%H%M%S}.json"
    file.write_text(json.dumps(about, indent=2) + "\n")
    print(f"saved {file}")


if __name__ == "__main__":
    main()
