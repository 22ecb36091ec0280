"""The model repository: names, versions and labels, where they lie, and how they come and go."""

from serving.repository.loading import LoadPolicy, RepositoryEvents
from serving.repository.repository import NO_VERSION, Repository
from serving.repository.status import State, VersionStatus

__all__ = ["NO_VERSION", "LoadPolicy", "Repository", "RepositoryEvents", "State", "VersionStatus"]
