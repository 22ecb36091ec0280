"""The command line, and the curves of load; in a process of their own, for Locust patches the one it is in."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.__main__ import locust_command, parse, parser
from loadtests.server import Addresses, free_ports

ROOT = Path(__file__).parents[2]


def test_a_host_stands_for_all_three_ports():
    assert Addresses.usual("box") == Addresses("http://box:3000", "http://box:8501", "box:8500")


def test_options_reach_locust():
    options = parser().parse_args(["--users", "7", "--shape", "spike", "--duration", "1m", "--tags", "video"])
    command = " ".join(locust_command(options, Addresses.usual("box")))
    for part in ("--users 7", "--run-time 1m", "shapes/spike.py", "--tags video", "--grpc-target box:8500"):
        assert part in command
    assert command.endswith("-- TypedApiUser TfServingRestUser TfServingGrpcUser OipGrpcUser")


def test_fewer_users_than_kinds_would_leave_rows_out(capsys):
    with pytest.raises(SystemExit):
        parse(["--users", "3"])
    assert "--users: expected one or more for each of 4 kinds. Received: 3" in capsys.readouterr().err
    assert parse(["--users", "1", "--kinds", "OipGrpcUser"]).users == 1


def test_free_ports_differ():
    assert len(set(free_ports(3))) == 3


def test_help_says_what_a_newcomer_needs(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    text = capsys.readouterr().out
    for word in ("--host", "--duration", "--shape", "--thresholds", "Exits with 0"):
        assert word in text


def test_curves():
    code = (
        "from loadtests.shapes.ramp import Ramp; from loadtests.shapes.spike import Spike\n"
        "from loadtests.shapes.soak import Soak\n"
        "for shape in (Ramp, Spike, Soak): print(*(round(shape.curve(p / 10), 2) for p in range(10)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == [
        "0.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9",
        "0.1 0.1 0.1 0.1 1.0 1.0 0.1 0.1 0.1 0.1",
        "0.0 1.0 1.0 1.0 1.0 1.0 1.0 1.0 1.0 1.0",
        "",
    ], done.stderr
