"""What the first process does before there are workers: it claims ports and makes the directories they share."""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving import machine, ports, preflight, xla_cache
from serving.peers.orders import OrderBook, Orders
from serving.repository.model_config import to_text
from serving.settings import Settings

_log = logging.getLogger(__name__)
_PREFIX = "seqserve-"
_LOCK = "lock"
_DIRECTORIES = {"metrics_directory": "metrics", "run_directory": "workers", "model_cache_directory": "cache"}


@dataclass(frozen=True)
class Launch:
    """What workers can start with.

    environment: the variables that give workers their settings.
    kept: closing it gives the ports back and removes the directories; it must live as long as there are workers.
    """

    environment: Mapping[str, str]
    kept: contextlib.ExitStack


def with_free_ports(settings: Settings) -> tuple[Settings, Sequence[str]]:
    """Checks the port that BentoML binds, for it binds too late for a clear message; `prepare` claims the others.

    Who starts this in TF Serving's place may not know of the two ports that TF Serving opens only when told: where
    such a server runs already, another one does without them. Returns what to warn of, too. Raises PortError.
    """
    found: dict[str, int] = {}
    warnings = []
    if settings.http_port == 0:
        found["http_port"] = ports.free(settings.host)
    for name in ("http_port", "rest_api_port"):
        port = found.get(name, getattr(settings, name))
        if not port or (name == "rest_api_port" and name in settings.model_fields_set):
            continue
        try:
            ports.check(settings.host, port, name)
        except ports.PortError as error:
            if not settings.as_tensorflow_serving or name in settings.model_fields_set:
                raise
            found[name] = ports.free(settings.host) if name == "http_port" else 0
            warnings.append(f"{error}; " + (f"port {found[name]} instead" if found[name] else "no REST port"))
    return settings.model_copy(update=found), warnings


def prepare(settings: Settings, http_port: int | None, packed: Iterable[tuple[str, int, Path]]) -> Launch:
    """Makes sure that workers can start.

    http_port: where BentoML will listen, which its own flag may have changed; None where that is not known.
    packed: name, version and directory of the models of a Bento, served unless the settings name others.
    Raises SettingsError or PortError, saying what is wrong.
    """
    with contextlib.ExitStack() as undo:
        if http_port is not None:
            ports.check(settings.host, http_port, "http_port")
        for name in ("port", "rest_api_port"):
            if port := getattr(settings, name):
                undo.enter_context(ports.hold(settings.host, port, name))
        shared = undo.enter_context(_shared_directory(Path(tempfile.gettempdir())))
        chosen = settings.model_fields_set
        given: dict[str, Path | str] = {}
        if settings.grpc_socket_path is not None:
            given["grpc_socket_path"] = os.path.abspath(settings.grpc_socket_path)
        for name, folder in _DIRECTORIES.items():
            if name not in chosen:
                (shared / folder).mkdir()
                given[name] = shared / folder
        if not settings.as_tensorflow_serving and "models" not in chosen and _link(packed, shared / "models"):
            given["models"] = shared / "models"
        cached = _xla_cache(settings)
        given["xla_cache_directory"] = str(cached) if cached is not None else xla_cache.OFF
        whole = settings.model_copy(update=given)
        preflight.check(whole)
        if whole.run_directory is not None:
            listed = preflight.configured_models(whole) if whole.model_config_file is not None else None
            text = None if listed is None else to_text(listed)
            # Workers that start later may find another file, which the ones that serve have not applied.
            OrderBook(whole.run_directory).write(Orders(config=text, file=text))
        flags = xla_cache.environment(cached) if cached is not None else {}
        return Launch({**whole.environment(), **flags}, undo.pop_all())


def _xla_cache(settings: Settings) -> Path | None:
    """Where workers find what was compiled before, and leave what they compile; None for nowhere."""
    if not settings.xla or settings.xla_cache_directory == xla_cache.OFF or machine.gpus():
        return None
    base = Path(settings.xla_cache_directory)
    try:
        return xla_cache.prepare(base, settings.threads_per_call)
    except xla_cache.Unusable as reason:
        _log.warning("xla_cache_directory: everything is compiled anew: %s cannot be used: %s", base, reason)
        return None


def _link(packed: Iterable[tuple[str, int, Path]], base: Path) -> bool:
    """Lays the models out as <name>/<version>, without copying them."""
    for name, version, directory in packed:
        (base / name).mkdir(parents=True, exist_ok=True)
        (base / name / str(version)).symlink_to(directory, target_is_directory=True)
    return base.is_dir()


@contextlib.contextmanager
def _shared_directory(parent: Path) -> Iterator[Path]:
    """A directory for this block's time. Those of servers that were killed go as well: nobody holds their locks."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        if lock.parent.lstat().st_uid != os.getuid():
            continue
        with contextlib.suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.parent)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with contextlib.ExitStack() as undo:
        undo.callback(_remove, made)
        # Locked before it has the name that others look for.
        unnamed = made / f"{_LOCK}.new"
        fcntl.flock(undo.enter_context(unnamed.open("w")), fcntl.LOCK_EX)
        os.rename(unnamed, made / _LOCK)
        yield made


def _remove(directory: Path) -> None:
    """The lock goes last: where a worker that still ends writes once more, the next start finds what that left."""
    for entry in directory.iterdir():
        if entry.name != _LOCK:
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    if all(entry.name == _LOCK for entry in directory.iterdir()):
        shutil.rmtree(directory, ignore_errors=True)
