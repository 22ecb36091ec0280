"""What the settings say of models: where they are, and how their versions come and go."""

from collections.abc import Sequence
from pathlib import Path

from serving.loading import LoadPolicy
from serving.model_config import ModelConfig, parse
from serving.settings import Settings


def models_of(settings: Settings) -> Path | Sequence[ModelConfig]:
    """The directory of models, or the models themselves; raises OSError and ConfigError for a model_config_file."""
    if settings.model_config_file is not None:
        return parse(settings.model_config_file.read_text(encoding="utf-8"))
    if settings.model_base_path is not None:
        return [ModelConfig(settings.model_name, settings.model_base_path)]
    return settings.models


def policy_of(settings: Settings) -> LoadPolicy:
    """How versions come and go."""
    return LoadPolicy(
        threads=settings.num_load_threads,
        retries=settings.max_num_load_retries,
        retry_seconds=settings.load_retry_interval_micros / 1e6,
        unload_before_load=settings.unload_before_load,
        servables_vanish=settings.servables_vanish,
        labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
    )
