"""What is found wrong with the settings before there are workers: files that cannot be read, models that are not there.

As TF Serving does, it waits for a directory that a config file or model_base_path names and that is not there yet.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from serving.errors import ServingError
from serving.repository import model_config
from serving.repository.model_config import ModelConfig
from serving.servables.batching_parameters import parse_batching_parameters
from serving.settings import Settings, SettingsError
from serving.tfserving.config_files import parse_monitoring_config, parse_tls_config

_log = logging.getLogger(__name__)
_Read = TypeVar("_Read")
_LONGEST_SOCKET_PATH = 95  # of the system's 107, with room for a worker's own name
_CONNECT_SECONDS = 1.0


def check(settings: Settings) -> None:
    """Raises SettingsError, which names the setting and what is wrong with it."""
    if settings.as_tensorflow_serving:
        for model in configured_models(settings):
            _warn_of(model)
    elif not settings.models.is_dir():
        raise SettingsError(f"models: expected a directory. Received: {str(settings.models)!r}")
    read_file("batching_parameters_file", settings.batching_parameters_file, parse_batching_parameters)
    read_file("ssl_config_file", settings.ssl_config_file, parse_tls_config)
    read_file("monitoring_config_file", settings.monitoring_config_file, parse_monitoring_config)
    if settings.grpc_socket_path is not None:
        _check_socket(Path(settings.grpc_socket_path))


def configured_models(settings: Settings) -> Sequence[ModelConfig]:
    """The models that are named in TF Serving's way; raises SettingsError where the config file is bad."""
    if settings.model_config_file is not None:
        return read_file("model_config_file", settings.model_config_file, model_config.parse) or ()
    if settings.model_base_path is not None:
        return (ModelConfig(settings.model_name, settings.model_base_path),)
    return ()


def read_file(name: str, file: Path | None, parse: Callable[[str], _Read]) -> _Read | None:
    """What a setting's file holds; None where the setting is. Raises SettingsError, which names both."""
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"{name}: cannot read {str(file)!r}: {why}") from None
    try:
        return parse(text)
    except ServingError as error:
        raise SettingsError(f"{name}: {str(file)!r}: {error.message}") from None
    except ValueError as error:
        raise SettingsError(f"{name}: {str(file)!r}: {error}") from None


def _warn_of(model: ModelConfig) -> None:
    if any(character in model.name for character in "/:"):
        _log.warning("model %r has no REST address: '/' and ':' end a name in a path; gRPC serves it", model.name)
    if "://" not in model.base_path and not Path(model.base_path).is_dir():
        _log.warning("model %s: waiting for %s, which is not there yet", model.name, model.base_path)


def _check_socket(path: Path) -> None:
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        raise SettingsError(f"grpc_socket_path: expected at most {_LONGEST_SOCKET_PATH} bytes. Received: {str(path)!r}")
    if not path.parent.is_dir():
        raise SettingsError(f"grpc_socket_path: expected a directory for it. Received: {str(path)!r}")
    if path.exists() and not path.is_socket():
        raise SettingsError(f"grpc_socket_path: expected a socket, or nothing there yet. Received: {str(path)!r}")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        if probe.connect_ex(str(path)) == 0:
            raise SettingsError(f"grpc_socket_path: another process listens on {str(path)!r}")
