"""One trial of a search: the family's own command in a process of its own, watched through its log."""

import csv
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

_EVERY = 0.2  # seconds between two looks at the log


def train_in_a_process(command: Sequence[str], run: Path, monitor: str) -> Iterator[float]:
    """Run `python COMMAND --run RUN --no-export`, or go on with the run in the folder; yields `monitor` of each epoch.

    Memory does not grow from trial to trial, and a crash is the trial's alone. Whoever closes the iterator ends the
    process. What it prints goes to output.txt in the run's folder.

    Raises:
        RuntimeError: the process failed; the message has the last line that it printed.
        ValueError: the log has no such column.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / "output.txt").open("a") as output, (run / "lock").open("a+") as lock:
        _take(lock)
        process = subprocess.Popen(
            [sys.executable, *command, "--run", str(run), "--no-export", "--resume"],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock.fileno()],  # held for as long as it lives
        )
        lock.truncate(0)
        lock.write(str(process.pid))
    try:
        epochs = 0
        while True:
            ended = process.poll() is not None  # asked first: what is logged until then is read
            for score in _scores(run / "log.csv", monitor)[epochs:]:
                epochs += 1
                yield score
            if ended:
                break
            time.sleep(_EVERY)
    finally:
        process.terminate()
        process.wait()
    if process.returncode or not epochs:
        printed = (run / "output.txt").read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"{printed[-1] if printed else 'no output'} (exit {process.returncode}, {run})")


def _take(lock: IO[str]) -> None:
    """Lock the run; where a search was killed and its trial lives on, end that first."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        os.kill(int(lock.read()), signal.SIGTERM)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _scores(log: Path, monitor: str) -> list[float]:
    if not log.exists():
        return []
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and monitor not in rows[0]:
        raise ValueError(f"Expected a log with {monitor}. Received: {', '.join(rows[0])}")
    return [float(row[monitor]) for row in rows]
