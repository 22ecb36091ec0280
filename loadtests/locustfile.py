"""What Locust loads: the users, our options, and the judgement at the end. `python -m loadtests` runs it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from loadtests import thresholds, users
from loadtests.tensors import OUTPUTS
from loadtests.users import OipGrpcUser, TfServingGrpcUser, TfServingRestUser, TypedApiUser

__all__ = ["OipGrpcUser", "TfServingGrpcUser", "TfServingRestUser", "TypedApiUser"]


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--grpc-target", default="localhost:8500", help="host:port of the gRPC server")
    parser.add_argument("--rest-url", default="http://localhost:8501", help="base URL of the REST server")
    parser.add_argument(
        "--thresholds", default=str(thresholds.DEFAULT_FILE), help="TOML file of limits that set the exit code"
    )


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Payloads are made before the run's time begins, or making them would be taken for the server's slowness."""
    if not isinstance(environment.runner, MasterRunner):
        users.prepare(environment.parsed_options.tags or OUTPUTS)
        # Timers count from the event loop's last look at the clock, which was before all that work.
        gevent.get_hub().loop.update_now()


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Exit 0 where every limit was kept, 1 where one was not, whatever Locust thinks of single failures."""
    if isinstance(environment.runner, WorkerRunner):
        return
    # Locust writes its CSV files once a second; without this they would lack the end of the run.
    gevent.sleep(2 * CSV_STATS_INTERVAL_SEC)
    entries = environment.stats.entries.values()
    models = environment.parsed_options.tags or OUTPUTS
    expected = [row for user in environment.user_classes for model in models for row in user.rows(model)]
    rows = [
        thresholds.Row(
            entry.name, entry.num_requests, entry.num_failures, entry.get_response_time_percentile(0.95) or 0
        )
        for entry in entries
    ]
    broken = thresholds.read(Path(environment.parsed_options.thresholds)).broken_by(rows, expected)
    for line in broken:
        print("broken:", line)
    print(f"thresholds: {'broken' if broken else 'kept'} ({len(rows)} rows of {len(expected)})")
    environment.process_exit_code = 1 if broken else 0
