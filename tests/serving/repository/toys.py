"""A real repository over servables that load at once, and what tests put into it."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import ClassVar

from serving.repository import LoadPolicy, Repository, State
from serving.repository.model_config import ModelConfig, VersionPolicy


class Toy:
    """Stands for a loaded version; counts what is loaded in this process."""

    alive: ClassVar[Counter] = Counter()
    most_alive: ClassVar[Counter] = Counter()

    def __init__(self, name, version, path):
        self.name, self.version, self.text = name, version, (path / "saved_model.pb").read_text()
        Toy.alive[name] += 1
        Toy.most_alive[name] = max(Toy.alive[name], Toy.most_alive[name])

    def compile_in(self, compiler):
        pass

    async def compiled(self, compiler):
        pass

    async def close(self, timeout):  # noqa: ARG002
        Toy.alive[self.name] -= 1


def put(base, *versions, model="m", text="whole"):
    """Version directories that appear at once."""
    for version in versions:
        copy = base / ".copy"
        copy.mkdir(parents=True)
        (copy / "saved_model.pb").write_text(text)
        (base / model).mkdir(exist_ok=True)
        copy.rename(base / model / str(version))


def config(base, model="m", labels=None, **policy):
    return ModelConfig(model, str(base / model), VersionPolicy(**policy), labels or {})


AT_ONCE = LoadPolicy(retry_seconds=0)


@asynccontextmanager
async def serving(source, *, load=Toy, poll=0.02, policy=AT_ONCE, **options):
    Toy.alive.clear()
    Toy.most_alive.clear()
    repository = Repository(source, load, poll_seconds=poll, policy=policy, **options)
    await repository.start()
    try:
        yield repository
    finally:
        await repository.stop(1)
        assert not +Toy.alive, "every version gives back what it took"


def states(repository, model="m"):
    return {status.version: status.state for status in repository.statuses(model)}


def available(repository, model="m"):
    return sorted(version for version, state in states(repository, model).items() if state is State.AVAILABLE)


async def eventually(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def soon(seconds=10):
    return time.monotonic() + seconds
