"""`python -m benchmarks`: start what is compared, check its answers, measure it in turn, and print one table."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import missing_programs
from benchmarks.report import save, table
from benchmarks.rounds import judge, measure
from benchmarks.studies import STUDIES
from benchmarks.studies.setting import Setting


def main() -> None:
    options, flags = _options()
    if missing := missing_programs():
        raise SystemExit(f"expected the programs that make the load, but these are not installed: {', '.join(missing)}")
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores / 2:
        print(f"the machine is busy already (load {load:.1f} on {cores} cores): these figures will mean little")
    setting = Setting(options.models, options.logs, options.drawings, flags)
    for name in options.studies:
        with ExitStack() as stack:
            study = STUDIES[name](stack, setting)
            results = measure(study, options.rounds, options.seconds, lambda text: print(text, flush=True))
        judged = judge(study.goals, results)
        print("\n" + table(study, results, judged) + "\n", flush=True)
        command = "python -m benchmarks " + shlex.join(sys.argv[1:])
        print("saved", *save(options.reports, study, results, judged, command.strip(), load))


def _options(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Any other flags are the server's, as --workers 1. The load comes from h2load and wrk (Debian: "
        "apt-get install nghttp2-client wrk). A peer that is not installed is left out, and said so.",
    )
    parser.add_argument(
        "--studies", nargs="+", choices=STUDIES, default=["single"], metavar="STUDY", help=f"of {', '.join(STUDIES)}"
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="directory of models")
    parser.add_argument("--drawings", type=Path, help="for sketches: folder of <class>.npz in Quick, Draw!'s form")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, taken in turn")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--reports", type=Path, default=Path("reports/benchmarks"), help="folder for the figures")
    parser.add_argument(
        "--save",
        dest="reports",
        action="store_const",
        const=Path("docs/benchmarks"),
        help="put them in docs/benchmarks",
    )
    parser.add_argument("--logs", type=Path, default=Path("runs/benchmarks"), help="folder for the servers' logs")
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    main()
