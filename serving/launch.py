"""What the first process does before there are workers: it claims ports and makes the directories they share."""

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from serving import ports
from serving.settings import Settings, SettingsError

# A bound socket that does not listen keeps a port for as long as this process lives.
_held: list[socket.socket] = []


def prepare(settings: Settings, http_port: int | None, packed: Iterable[tuple[str, int, Path]]) -> None:
    """Makes sure that workers can start, and gives them their share of settings through the environment.

    http_port: where BentoML will listen, which its own flag may have changed; None where that is not known.
    packed: name, version and directory of the models of a Bento, served unless the settings name others.
    Raises SettingsError or PortError, saying what is wrong.
    """
    if http_port is not None:
        ports.check(settings.host, http_port, "http_port")
    _held.append(ports.hold(settings.host, settings.port, "port"))
    _held.append(ports.hold(settings.host, settings.rest_api_port, "rest_api_port"))
    shared = Path(tempfile.mkdtemp(prefix="seqserve-"))
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    chosen = settings.model_fields_set
    given: dict[str, Path] = {}
    if "metrics_directory" not in chosen:
        given["metrics_directory"] = shared / "metrics"
        given["metrics_directory"].mkdir()
    if not chosen & {"models", "model_base_path"}:
        linked = _link(packed, shared / "models")
        if linked:
            given["models"] = shared / "models"
    _check_models(settings.model_copy(update=given))
    os.environ.update(settings.model_copy(update=given).environment())


def _link(packed: Iterable[tuple[str, int, Path]], base: Path) -> bool:
    """Lays the models out as <name>/<version>, without copying them."""
    for name, version, directory in packed:
        (base / name).mkdir(parents=True, exist_ok=True)
        (base / name / str(version)).symlink_to(directory, target_is_directory=True)
    return base.is_dir()


def _check_models(settings: Settings) -> None:
    setting, directory = "models", settings.models
    if settings.model_base_path is not None:
        setting, directory = "model_base_path", settings.model_base_path
    if not directory.is_dir():
        raise SettingsError(f"{setting}: expected a directory. Received: {str(directory)!r}")
