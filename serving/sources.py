"""What the settings say of models: where they are, and how their versions come and go."""

from collections.abc import Sequence
from pathlib import Path

from serving.preflight import configured_models
from serving.repository.loading import LoadPolicy
from serving.repository.model_config import ModelConfig
from serving.settings import Settings


def models_of(settings: Settings) -> Path | Sequence[ModelConfig]:
    """The directory of models, or the models themselves; raises SettingsError for a bad model_config_file."""
    return configured_models(settings) if settings.as_tensorflow_serving else settings.models


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
