"""Unloading gives the memory back.

Forty rounds here; SEQSERVE_TEST_ROUNDS=200 runs as many as the server is meant to stand (half a minute).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .servers import ROOT

MOST_GROWTH = 1.05


@pytest.mark.timeout(900)
def test_memory_stops_growing_after_twenty_rounds(toy_models: Path) -> None:
    rounds = os.environ.get("SEQSERVE_TEST_ROUNDS", "40")
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("load_rounds.py"), toy_models, rounds],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=800,
    )
    settled, last = map(int, ran.stdout.split())
    print(f"{rounds} rounds: {settled >> 20} MiB after 20, {last >> 20} MiB at the end: {last / settled - 1:+.1%}")
    assert last < settled * MOST_GROWTH
