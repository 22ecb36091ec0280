"""Where the versions of a model stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from serving.errors import Code

_MOST_ENDED = 100  # versions long gone whose end is still told


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


class Statuses:
    """Where every version stands that was tried; of those long gone, only the newest."""

    def __init__(self) -> None:
        self._by_version: dict[int, VersionStatus] = {}

    def set(self, status: VersionStatus) -> None:
        """Replaces what was known of the version."""
        self._by_version[status.version] = status
        ended = sorted(v for v, s in self._by_version.items() if s.state is State.END and s.code is Code.OK)
        for version in ended[: max(0, len(ended) - _MOST_ENDED)]:
            del self._by_version[version]

    def forget(self, version: int) -> None:
        """As if it had never been tried."""
        self._by_version.pop(version, None)

    def state(self, version: int) -> State | None:
        """Where one stands; None where it was not tried."""
        status = self._by_version.get(version)
        return status.state if status is not None else None

    def all(self) -> Sequence[VersionStatus]:
        """Every version, newest first."""
        return [self._by_version[version] for version in sorted(self._by_version, reverse=True)]

    def failure(self, version: int | None = None) -> VersionStatus | None:
        """Why this version, or else the newest that failed, does not serve."""
        failures = (status for status in self.all() if status.code is not Code.OK)
        return next((status for status in failures if version is None or status.version == version), None)
