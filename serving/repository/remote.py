"""Models at fsspec URLs (s3://, gs:// and others), served from local copies that are fetched whole and verified."""

import atexit
import base64
import hashlib
import importlib.util
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from serving.errors import FailedPrecondition, ServingError, Unavailable
from serving.repository.copies import Copies
from serving.repository.storage import GRAPHS, Fingerprint, version_of

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_MOST_FILES = 100_000
# What stores call the marks by which content can be told from other content of the same size.
_MARKS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "updated", "created")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long remote stores are waited for.

    listing, fetching: seconds for one listing, and for a whole version. attempts: tries for each file, `pause` seconds
    apart at first and twice as long each time.
    """

    listing: float = 60.0
    fetching: float = 3600.0
    attempts: int = 4
    pause: float = 0.5


class RemoteStore:
    """One model's versions below a URL; what `fetch` returns lies below `cache`, which other processes may share.

    Raises ValueError for a kind of URL that is not known, or whose driver is not installed.
    """

    def __init__(self, url: str, cache: Path | None, patience: Patience = Patience()) -> None:
        self._url = url.rstrip("/")
        _check_driver(url)
        self._patience = patience
        self._copies = Copies(cache if cache is not None else _temporary(), self._url)
        self._fs: Any = None
        self._root = ""

    def versions(self) -> Mapping[int, Fingerprint]:
        """The versions that hold a graph, from one listing; raises Unavailable where there is none."""
        return {version: _fingerprint(files) for version, files in self._listed().items() if _has_graph(files)}

    def fetch(self, version: int) -> Path:
        """A local copy, whole and the same as what lies there before and after; waits for others who fetch it."""
        deadline = time.monotonic() + self._patience.fetching
        files = self._files(version)

        def make(folder: Path) -> None:
            self._download(version, files, folder, deadline)
            if _fingerprint(self._files(version)) != _fingerprint(files):
                raise Unavailable(f"version {version} changed while it was fetched")

        def is_whole(folder: Path) -> bool:
            return all(_size(folder / name) == info["size"] for name, info in files.items())

        content = repr(sorted(_fingerprint(files)))
        try:
            return self._copies.take(version, content, is_whole, make, deadline)
        except OSError as error:
            raise Unavailable(f"version {version} cannot be copied: {error.strerror}") from error

    def drop(self, version: int) -> None:
        """Lets the copy go; it is removed when no process uses it and a newer one is there."""
        self._copies.release(version)

    def _files(self, version: int) -> Mapping[str, Any]:
        files = self._listed(version).get(version, {})
        if not _has_graph(files):
            raise FailedPrecondition(f"version {version} has gone from its store")
        return files

    def _listed(self, only: int | None = None) -> Mapping[int, dict[str, Any]]:
        """Files by name, by version."""
        found = self._asked(self._find, "" if only is None else f"/{only}", seconds=self._patience.listing)
        versions: dict[int, dict[str, Any]] = {}
        for path, info in found.items():
            number, _, name = path.removeprefix(self._root).lstrip("/").partition("/")
            if name and (version := version_of(number)) is not None:
                versions.setdefault(version, {})[name] = info
        if not found:
            raise Unavailable("nothing lies at the model's base path")
        return versions

    def _find(self, below: str) -> Mapping[str, Any]:
        if self._fs is None:
            self._fs, self._root = _opened(self._url)
        self._fs.invalidate_cache()
        found: dict[str, Any] = self._fs.find(self._root + below, detail=True)
        return {path: info for path, info in found.items() if info["type"] == "file" and not path.endswith("/")}

    def _download(self, version: int, files: Mapping[str, Any], folder: Path, deadline: float) -> None:
        if len(files) > _MOST_FILES:
            raise FailedPrecondition(f"a version may have at most {_MOST_FILES} files; received: {len(files)}")
        for name in files:
            parts = PurePosixPath(name).parts
            if PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name or "\\" in name:
                raise FailedPrecondition(f"version {version} has a file with a name that leads out of it")
        needed, free = sum(info["size"] for info in files.values()), shutil.disk_usage(folder).free
        if needed > free:
            raise Unavailable(f"version {version} takes {needed} bytes; {free} are free where copies are kept")
        _log.info("fetching %s/%d: %d files, %d bytes", self._url, version, len(files), needed)
        for name, info in files.items():
            local = folder / name
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_file(info, local, deadline)

    def _fetch_file(self, info: Mapping[str, Any], local: Path, deadline: float) -> None:
        """Downloads one file until it is what the store says, a few times at most."""
        problem: ServingError | None = None
        digest = None
        for attempt in range(self._patience.attempts):
            if attempt:
                time.sleep(min(self._patience.pause * 2 ** (attempt - 1), max(0.0, deadline - time.monotonic())))
            try:
                self._asked(self._fs.get_file, info["name"], str(local), seconds=deadline - time.monotonic())
            except ServingError as error:
                problem = error
                continue
            received = _size(local)
            if received != info["size"]:
                problem = Unavailable(f"{local.name} must have {info['size']} bytes; received: {received}")
                continue
            before, digest = digest, _md5(local)
            expected, is_sure = _expected_md5(info)
            # Encrypted objects have ETags of 32 digits too, and none says so; what comes twice alike is right.
            if expected in (None, digest) or (not is_sure and digest == before):
                return
            problem = Unavailable(f"{local.name} must have the MD5 sum {expected}; received: {digest}")
        raise problem or Unavailable(f"{local.name} cannot be fetched")

    def _asked(self, call: Callable[..., _T], *arguments: Any, seconds: float) -> _T:
        try:
            return _within(seconds, call, *arguments)
        except ServingError:
            raise
        except TimeoutError:
            raise Unavailable(f"the model's store has not answered for {max(seconds, 0):.0f} s") from None
        except FileNotFoundError as error:
            raise Unavailable("nothing lies at the model's base path") from error
        except Exception as error:  # each driver has errors of its own
            _log.warning("%s: %s", self._url, error)
            raise Unavailable(f"the model's store cannot be read: {type(error).__name__}") from error


def _check_driver(url: str) -> None:
    scheme = url.partition("://")[0]
    install = "install seqserve[remote]"
    if importlib.util.find_spec("fsspec") is None:
        raise ValueError(f"{scheme}:// needs the package fsspec: {install}")
    from fsspec.registry import known_implementations, registry

    if scheme in registry:
        return
    if scheme not in known_implementations:
        raise ValueError(
            f"expected a directory or a URL of a known kind, such as s3:// or gs://; received: {url[:200]!r}"
        )
    package = known_implementations[scheme]["class"].partition(".")[0]
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"{scheme}:// needs the package {package}: {install}")


def _opened(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if url.startswith(("s3://", "s3a://")):
        options["config_kwargs"] = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}
    fs, root = url_to_fs(url, **options)
    return fs, root.rstrip("/")


def _within(seconds: float, call: Callable[..., _T], *arguments: Any) -> _T:
    """What the call returns or raises; TimeoutError after `seconds`, when its thread is left to itself."""
    done: Future[_T] = Future()

    def run() -> None:
        try:
            done.set_result(call(*arguments))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="remote", daemon=True).start()
    return done.result(max(seconds, 0.0))


def _has_graph(files: Mapping[str, Any]) -> bool:
    return any(graph in files for graph in GRAPHS)


def _fingerprint(files: Mapping[str, Any]) -> Fingerprint:
    return frozenset((name, info["size"], _mark(info)) for name, info in files.items())


def _mark(info: Mapping[str, Any]) -> int:
    marks = repr([(key, str(info[key])) for key in _MARKS if key in info])
    return int.from_bytes(hashlib.sha256(marks.encode()).digest()[:7], "big")


def _expected_md5(info: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The MD5 sum that a store states, and whether it surely is one."""
    if "md5Hash" in info:  # Google's, in base64
        return base64.b64decode(info["md5Hash"]).hex(), True
    tag = str(info.get("ETag", "")).strip('"')
    is_md5 = len(tag) == 32 and all(digit in "0123456789abcdef" for digit in tag)  # not one of several parts
    return (tag, False) if is_md5 else (None, False)


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="seqserve-models-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
