"""Which kind of store a model has: what its base path says."""

from pathlib import Path

from serving.repository.remote import RemoteStore
from serving.repository.storage import LocalStore, Store


def open_store(base_path: str, cache: Path | None) -> Store:
    """The store of a model.

    base_path: a directory, or an fsspec URL such as s3://bucket/models/name.
    cache: where copies of remote versions go; None for a temporary directory.
    Raises ValueError for a kind of URL that cannot be served.
    """
    scheme, separator, rest = base_path.partition("://")
    if not separator:
        return LocalStore(Path(base_path))
    if scheme == "file":
        return LocalStore(Path(rest))
    return RemoteStore(base_path, cache)
