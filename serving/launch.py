"""What the first process does before there are workers: it claims ports and makes the directories they share."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving import ports
from serving.settings import Settings, SettingsError


@dataclass(frozen=True)
class Launch:
    """What workers can start with.

    environment: the variables that give workers their settings.
    kept: closing it gives the ports back and removes the directories; it must live as long as there are workers.
    """

    environment: Mapping[str, str]
    kept: contextlib.ExitStack


def prepare(settings: Settings, http_port: int | None, packed: Iterable[tuple[str, int, Path]]) -> Launch:
    """Makes sure that workers can start.

    http_port: where BentoML will listen, which its own flag may have changed; None where that is not known.
    packed: name, version and directory of the models of a Bento, served unless the settings name others.
    Raises SettingsError or PortError, saying what is wrong.
    """
    with contextlib.ExitStack() as undo:
        if http_port is not None:
            ports.check(settings.host, http_port, "http_port")
        undo.enter_context(ports.hold(settings.host, settings.port, "port"))
        undo.enter_context(ports.hold(settings.host, settings.rest_api_port, "rest_api_port"))
        shared = Path(tempfile.mkdtemp(prefix="seqserve-"))
        undo.callback(shutil.rmtree, shared, ignore_errors=True)
        chosen = settings.model_fields_set
        given: dict[str, Path] = {}
        if "metrics_directory" not in chosen:
            given["metrics_directory"] = shared / "metrics"
            given["metrics_directory"].mkdir()
        if "run_directory" not in chosen:
            given["run_directory"] = shared / "workers"
            given["run_directory"].mkdir()
        if not chosen & {"models", "model_base_path"} and _link(packed, shared / "models"):
            given["models"] = shared / "models"
        whole = settings.model_copy(update=given)
        _check_models(whole)
        return Launch(whole.environment(), undo.pop_all())


def _link(packed: Iterable[tuple[str, int, Path]], base: Path) -> bool:
    """Lays the models out as <name>/<version>, without copying them."""
    for name, version, directory in packed:
        (base / name).mkdir(parents=True, exist_ok=True)
        (base / name / str(version)).symlink_to(directory, target_is_directory=True)
    return base.is_dir()


def _check_models(settings: Settings) -> None:
    setting, directory = "models", settings.models
    if settings.model_base_path is not None:
        setting, directory = "model_base_path", Path(settings.model_base_path)
    if not directory.is_dir():
        raise SettingsError(f"{setting}: expected a directory. Received: {str(directory)!r}")
