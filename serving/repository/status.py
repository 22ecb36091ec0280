"""Where the versions of a model stand."""

from dataclasses import dataclass
from enum import Enum

from serving.errors import Code


class State(Enum):
    """A version's life, with TF Serving's names and numbers (ModelVersionStatus.State)."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """Where one version stands; code and message say why a load failed."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""
