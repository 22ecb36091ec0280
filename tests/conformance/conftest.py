"""A whole server with the zoo's models, for clients that others wrote."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ..e2e.servers import Server, serving
from . import zoo as models

Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models: <name>/<version>, as zoo.py makes them."""
    return models.build(tmp_path_factory.mktemp("zoo") / "models")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts servers with the flags that are given as keywords, and waits until they are ready.

    server.grpc and server.rest are addresses on free ports; one worker, and no XLA, unless asked for. The caller says
    where its models are.
    """

    @contextlib.contextmanager
    def start(**flags: object) -> Iterator[Server]:
        given = {"workers": 1, "xla": "false", **flags}
        arguments = [f"--{name}={value}" for name, value in given.items()]
        with serving(tmp_path_factory.mktemp("server"), *arguments) as server:
            server.wait_until_ready()
            yield server

    return start


@pytest.fixture(scope="session")
def server(zoo: Path, serve: Serve) -> Iterator[Server]:
    """One server with every model of the zoo; tests leave its models as they found them."""
    with serve(models=zoo) as started:
        yield started
