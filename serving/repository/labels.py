"""Names for versions, which requests may use in the place of numbers."""

from collections.abc import Callable, Iterable, Mapping

from serving.errors import FailedPrecondition, InvalidInput
from serving.repository.model_config import ModelConfig

_SHOWN = 200


class Labels:
    """The labels of all models. A label moves only to a version that serves, as in TF Serving's server_core.cc."""

    def __init__(self, configs: Iterable[ModelConfig] = ()) -> None:
        self._versions: Mapping[str, Mapping[str, int]] = {config.name: config.labels for config in configs}

    def version(self, model: str, label: str) -> int:
        """The version that a label names; raises InvalidInput."""
        version = self._versions.get(model, {}).get(label)
        if version is None:
            raise InvalidInput(f"Unrecognized servable version label: {label[:_SHOWN]}")
        return version

    def moved(
        self, configs: Iterable[ModelConfig], is_available: Callable[[str, int], bool], *, allow_new: bool
    ) -> "Labels":
        """The labels of other configs.

        allow_new: whether a label that is new may name a version that does not serve.
        Raises FailedPrecondition where a label would name a version that does not.
        """
        configs = tuple(configs)
        for config in configs:
            for label, version in config.labels.items():
                before = self._versions.get(config.name, {}).get(label, version)
                if not (allow_new and before == version) and not is_available(config.name, version):
                    raise FailedPrecondition(
                        f"Request to assign label to version {version} of model {config.name[:_SHOWN]}, "
                        "which is not currently available for inference"
                    )
        return Labels(configs)
