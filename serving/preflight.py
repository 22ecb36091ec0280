"""What is found wrong with the settings before there are workers: files that cannot be read, models that are not there.

As TF Serving does, it waits for a directory that a config file or model_base_path names and that is not there yet.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from serving import model_config
from serving.batching_parameters import parse_batching_parameters
from serving.errors import ServingError
from serving.model_config import ModelConfig
from serving.settings import Settings, SettingsError

_log = logging.getLogger(__name__)
_Read = TypeVar("_Read")


def check(settings: Settings) -> None:
    """Raises SettingsError, which names the setting and what is wrong with it."""
    if settings.as_tensorflow_serving:
        for model in configured_models(settings):
            _warn_of(model)
    elif not settings.models.is_dir():
        raise SettingsError(f"models: expected a directory. Received: {str(settings.models)!r}")
    _read("batching_parameters_file", settings.batching_parameters_file, parse_batching_parameters)


def configured_models(settings: Settings) -> Sequence[ModelConfig]:
    """The models that are named in TF Serving's way; raises SettingsError where the config file is bad."""
    if settings.model_config_file is not None:
        return _read("model_config_file", settings.model_config_file, model_config.parse) or ()
    if settings.model_base_path is not None:
        return (ModelConfig(settings.model_name, settings.model_base_path),)
    return ()


def _read(name: str, file: Path | None, parse: Callable[[str], _Read]) -> _Read | None:
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
