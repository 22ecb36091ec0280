from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models: affine, sleeper, forecaster and video."""
    from .models import save

    return save(tmp_path_factory.mktemp("toys") / "models")
