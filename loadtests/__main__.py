"""`python -m loadtests`: load on a server, with reports, and an exit code that says whether limits were kept."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.server import Addresses, ServerError, started
from loadtests.thresholds import DEFAULT_FILE

HERE = Path(__file__).parent
SHAPES = ("ramp", "spike", "soak")
USERS = ("TypedApiUser", "TfServingRestUser", "TfServingGrpcUser", "OipGrpcUser")
MODELS = ("forecaster", "sketchrnn", "video")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m loadtests",
        description="Loads a server with series, drawings and clips over every protocol, and writes "
        "HTML and CSV reports. Exits with 0 where p95 and error rate kept their limits, with 1 where not.",
        epilog="For load from many machines run locust itself on loadtests/locustfile.py, with --master and --worker.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument(
        "--host", help="name of a running server, without port; one is started on free ports where this is missing"
    )
    made.add_argument("--http-url", help="the typed API, if not port 3000 of --host")
    made.add_argument("--rest-url", help="the REST API, if not port 8501 of --host")
    made.add_argument("--grpc-target", help="host:port of gRPC, if not port 8500 of --host")
    made.add_argument("--models", help="model directory for the server that is started, if not its default")
    made.add_argument("--duration", default="30s", help="how long, as 30s, 20m or 1h30m")
    made.add_argument("--users", type=int, default=20, help="simulated callers at once")
    made.add_argument("--kinds", nargs="+", choices=USERS, default=list(USERS), help="kinds of callers")
    made.add_argument("--tags", nargs="+", choices=MODELS, default=list(MODELS), help="models to call")
    made.add_argument("--shape", choices=SHAPES, help="load over time, instead of all users from the start")
    made.add_argument("--thresholds", type=Path, default=DEFAULT_FILE, help="TOML file of limits")
    made.add_argument("--reports", type=Path, default=Path("reports"), help="folder for the reports")
    return made


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    made = parser()
    options = made.parse_args(arguments)
    if options.users < len(options.kinds):
        made.error(f"--users: expected one or more for each of {len(options.kinds)} kinds. Received: {options.users}")
    return options


def locust_command(options: argparse.Namespace, addresses: Addresses) -> list[str]:
    """The locust command line of a run."""
    files = [HERE / "locustfile.py"] + ([HERE / "shapes" / f"{options.shape}.py"] if options.shape else [])
    reports = options.reports
    return [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
        *("-f", ",".join(map(str, files))),
        *("--users", str(options.users), "--spawn-rate", str(max(1, options.users // 2))),
        *("--run-time", options.duration, "--stop-timeout", "10"),
        *("--host", addresses.http_url, "--rest-url", addresses.rest_url, "--grpc-target", addresses.grpc_target),
        *("--html", str(reports / "loadtest.html"), "--csv", str(reports / "loadtest")),
        *("--thresholds", str(options.thresholds), "--tags", *options.tags),
        "--",
        *options.kinds,
    ]


def load(options: argparse.Namespace, addresses: Addresses) -> int:
    """Run locust; its exit code says whether the limits were kept."""
    options.reports.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    return subprocess.run(locust_command(options, addresses), env={**os.environ, "PYTHONPATH": path}).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    host, given = options.host, (options.http_url, options.rest_url, options.grpc_target)
    if host is not None or any(given):
        usual = Addresses.usual(host or "localhost")
        usual_three = (usual.http_url, usual.rest_url, usual.grpc_target)
        return load(options, Addresses(*(one or other for one, other in zip(given, usual_three, strict=True))))
    flags = ["--models", options.models] if options.models else []
    try:
        with started(options.reports / "server.log", flags) as addresses:
            code = load(options, addresses)
    except ServerError as error:
        print(f"loadtests: {error}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
