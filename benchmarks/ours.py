"""This project's server for the time of a study, as a group of processes that can stand still."""

import contextlib
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.processes import Group, running
from loadtests.server import Addresses, free_ports, warm_since

COMPILED_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Ours:
    group: Group
    addresses: Addresses

    @property
    def grpc(self) -> str:
        return self.addresses.grpc_target

    @property
    def rest(self) -> str:
        """host:port."""
        return self.addresses.rest_url.removeprefix("http://")

    def compiled(self) -> float:
        """Waits until nothing is left to compile; gives when that was, on the clock of time.monotonic()."""
        since = warm_since(self.addresses.http_url, COMPILED_SECONDS)
        return math.inf if since is None else since


@contextlib.contextmanager
def serving(models: Path, flags: Sequence[str], log: Path, *, wait: bool = True) -> Iterator[Ours]:
    """`python -m serving` on free ports, with everything compiled unless told not to `wait`. Raises NotStarted."""
    http_port, grpc_port, rest_port = free_ports(3)
    command: list[str | Path] = [sys.executable, "-m", "serving", "--models", models, "--host", "127.0.0.1"]
    command += ["--http_port", str(http_port), "--port", str(grpc_port), "--rest_api_port", str(rest_port), *flags]
    addresses = Addresses(f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{rest_port}", f"127.0.0.1:{grpc_port}")

    def ready() -> bool:
        try:
            for url in (f"{addresses.http_url}/readyz", f"{addresses.rest_url}/v2/health/ready"):
                urlopen(url, timeout=5).close()
        except (URLError, OSError):
            return False
        return True

    with running(command, ready, log, {"BENTOML_DO_NOT_TRACK": "1"}) as group:
        ours = Ours(group, addresses)
        if wait:
            ours.compiled()
        yield ours


@contextlib.contextmanager
def only(models: Path, *names: str) -> Iterator[Path]:
    """A directory with these models alone, so that nothing else takes part."""
    with tempfile.TemporaryDirectory(prefix="benchmark-models-") as made:
        for name in names:
            Path(made, name).symlink_to((models / name).resolve(), target_is_directory=True)
        yield Path(made)


def newest(model: Path) -> Path:
    """The directory of a model's highest version."""
    return max((entry for entry in model.iterdir() if entry.name.isdecimal()), key=lambda entry: int(entry.name))
