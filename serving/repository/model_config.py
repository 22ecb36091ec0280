"""Which models are served, which of their versions, and under which labels: TF Serving's ModelServerConfig."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeAlias

from google.protobuf import text_format
from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig as ModelConfigMessage
from tensorflow_serving.config.model_server_config_pb2 import ModelConfigList, ModelServerConfig, ModelType

from serving.errors import InvalidInput

PolicyMessage: TypeAlias = FileSystemStoragePathSourceConfig.ServableVersionPolicy
_PLATFORM = "tensorflow"
_SHOWN = 200  # characters of what a caller sent that a message quotes
_MESSAGE = ModelServerConfig.DESCRIPTOR.full_name


class ConfigError(ValueError):
    """A text that is no ModelServerConfig, or none that can be served; the message says where and why."""


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions are served: the `latest` so many, or `all`, or the `specific` ones."""

    latest: int = 1
    all: bool = False
    specific: tuple[int, ...] = ()

    def aspired(self, versions: Iterable[int]) -> tuple[int, ...]:
        """Those of `versions` that should serve, newest first."""
        newest = sorted(versions, reverse=True)
        if self.all:
            return tuple(newest)
        if self.specific:
            return tuple(version for version in newest if version in self.specific)
        return tuple(newest[: self.latest])


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model.

    base_path: a directory, or an fsspec URL, that holds its versions.
    labels: names for versions, which requests may use in the place of numbers.
    """

    name: str
    base_path: str
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)


def parse(text: str) -> tuple[ModelConfig, ...]:
    """Reads the text form of a ModelServerConfig; raises ConfigError, with line and column where the text is wrong."""
    message = ModelServerConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        what = str(error).partition(" : ")[2] or str(error)
        at = f"{error.GetLine() or 1}:{error.GetColumn() or 1}"
        raise ConfigError(f"Error parsing text-format {_MESSAGE}: {at}: {what}") from None
    try:
        if message.WhichOneof("config") == "custom_model_config":
            raise InvalidInput("expected a model_config_list; received: a custom_model_config")
        return _models(message.model_config_list)
    except InvalidInput as error:
        raise ConfigError(f"Invalid {_MESSAGE}: {error.message}") from None


def is_empty(text: str) -> bool:
    """Whether a text that `parse` reads says nothing at all: not even that there are to be no models."""
    return text_format.Parse(text, ModelServerConfig()).WhichOneof("config") is None


def from_message(config: ModelServerConfig) -> tuple[ModelConfig, ...]:
    """Reads a ModelServerConfig message that should replace what is served.

    Raises InvalidInput where TF Serving's model_service_impl.cc and server_core.cc do.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InvalidInput(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    return _models(config.model_config_list)


def to_text(configs: Iterable[ModelConfig]) -> str:
    """What `parse` reads."""
    models = ModelConfigList()
    for config in configs:
        model = models.config.add(name=config.name, base_path=config.base_path, model_platform=_PLATFORM)
        policy = model.model_version_policy
        if config.policy.all:
            policy.all.SetInParent()
        elif config.policy.specific:
            policy.specific.versions.extend(config.policy.specific)
        else:
            policy.latest.num_versions = config.policy.latest
        model.version_labels.update(config.labels)
    return text_format.MessageToString(ModelServerConfig(model_config_list=models))


def _models(listed: ModelConfigList) -> tuple[ModelConfig, ...]:
    names = Counter(model.name for model in listed.config)
    for name, times in names.items():
        if not name:
            raise InvalidInput("expected a name for every model; received: none")
        if times > 1:
            raise InvalidInput(f"Illegal to list model {name[:_SHOWN]} multiple times in config list")
    return tuple(_model(model) for model in listed.config)


def _model(model: ModelConfigMessage) -> ModelConfig:
    name = model.name[:_SHOWN]
    if "://" not in model.base_path and not PurePosixPath(model.base_path).is_absolute():
        raise InvalidInput(
            f"Expected model {name} to have an absolute path or URI; got base_path()={model.base_path[:_SHOWN]}"
        )
    _check_platform(name, model)
    return ModelConfig(model.name, model.base_path, _policy(name, model.model_version_policy), {**model.version_labels})


def _check_platform(name: str, model: ModelConfigMessage) -> None:
    if model.model_type != ModelType.MODEL_TYPE_UNSPECIFIED:
        if model.model_platform:
            raise InvalidInput(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
            )
        if model.model_type != ModelType.TENSORFLOW:
            raise InvalidInput(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    elif not model.model_platform:
        raise InvalidInput(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    elif model.model_platform != _PLATFORM:
        raise InvalidInput(f"Model {name} requests unsupported platform {model.model_platform[:_SHOWN]}")


def _policy(name: str, policy: PolicyMessage) -> VersionPolicy:
    chosen = policy.WhichOneof("policy_choice")
    if chosen == "all":
        return VersionPolicy(all=True)
    if chosen == "specific":
        if not policy.specific.versions:
            raise InvalidInput(f"expected versions in the specific policy of model {name}; received: none")
        return VersionPolicy(specific=tuple(policy.specific.versions))
    return VersionPolicy(latest=max(policy.latest.num_versions, 1))
