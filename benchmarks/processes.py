"""A server under test as a group of processes that stands still while others are measured."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 180.0
STOP_SECONDS = 30.0


class NotStarted(RuntimeError):
    """A server did not become ready; the message ends with its last words."""


class Group:
    """The processes of one server."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """None of them runs in this block: some poll, and would cost the others."""
        stopped = self.processes()
        _send(signal.SIGSTOP, stopped)
        try:
            yield
        finally:
            _send(signal.SIGCONT, stopped)

    def processes(self) -> list[int]:
        """Their ids: of the first one and all that it, and they, have started; some make groups of their own."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(int(entry.name))
        found = [self._leader]
        for process in found:
            found += children.get(process, [])
        return found

    def resident_bytes(self) -> int:
        """Memory of all of them, pages that they share counted once."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
                total += 1024 * int(rollup.split("Pss:", 1)[1].split()[0])
        return total


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    ready: Callable[[], bool],
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Group]:
    """Runs a server until the block ends. Raises NotStarted where `ready` does not turn true in time."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
        try:
            _wait(process, ready, log)
            yield Group(process.pid)
        finally:
            started = {child: _born(child) for child in Group(process.pid).processes()[1:]}
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # Its children end with it; what has not, and still is the same process, is ended here.
            _send(signal.SIGKILL, [child for child, born in started.items() if born and _born(child) == born])
            process.kill()
            process.wait()


def _born(process: int) -> str | None:
    """When it began, by the system's own clock; None where there is no such process."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]


def _send(number: int, processes: Sequence[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            words = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise NotStarted(f"expected a ready server within {READY_SECONDS:g} s, got its log:\n{words}")
        time.sleep(0.3)
