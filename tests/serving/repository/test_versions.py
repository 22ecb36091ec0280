"""Which versions serve, by policy, label, request and command: a real repository over servables that load at once."""

import asyncio
import shutil
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import uvloop

from serving.errors import (
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    NotLoaded,
    Unavailable,
)
from serving.repository import NO_VERSION, LoadPolicy, Repository, State
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


@pytest.fixture(autouse=True)
def _count():
    Toy.alive.clear()
    Toy.most_alive.clear()


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


@pytest.mark.parametrize(
    ("policy", "first", "then"),
    [
        ({}, [3], [4]),
        ({"latest": 2}, [2, 3], [3, 4]),
        ({"all": True}, [1, 2, 3], [1, 2, 3, 4]),
        ({"specific": (1, 4, 9)}, [1], [1, 4]),
    ],
)
async def test_policies_choose_what_serves(tmp_path, policy, first, then):
    put(tmp_path, 1, 2, 3)
    async with serving([config(tmp_path, **policy)]) as repository:
        assert available(repository) == first
        assert repository.get("m").version == max(first)
        put(tmp_path, 4)
        await eventually(lambda: available(repository) == then)
        assert [repository.get("m", version).version for version in then] == then
        assert {s.version for s in repository.servables()} == set(then)


async def test_the_next_best_serves_where_the_newest_is_broken(tmp_path):
    def load(name, version, path):
        if version == 2:
            raise FailedPrecondition("no graph")
        return Toy(name, version, path)

    put(tmp_path, 1, 2)
    async with serving(tmp_path, load=load) as repository:
        assert repository.get("m").version == 1
        with pytest.raises(NotFound, match=r"^Servable not found for request: Specific\(m, 2\) .*no graph"):
            repository.get("m", 2)
        (newest, _) = repository.statuses("m")
        assert (newest.version, newest.state, newest.code, newest.message) == (
            2,
            State.END,
            Code.FAILED_PRECONDITION,
            "no graph",
        )


async def test_names_and_versions_that_are_not_there_are_told_in_tf_servings_words(tmp_path):
    put(tmp_path, 1)
    async with serving(tmp_path) as repository:
        for asked, text in [
            (("x",), "Servable not found for request: Latest(x)"),
            (("m", 3), "Servable not found for request: Specific(m, 3)"),
        ]:
            with pytest.raises(NotFound) as caught:
                repository.get(*asked)
            assert caught.value.message == text
        with pytest.raises(NotFound, match=r"^Could not find any versions of model x$"):
            repository.statuses("x")
        with pytest.raises(NotFound, match=r"^Could not find version 3 of model m$"):
            repository.statuses("m", 3)
        with pytest.raises(NotFound) as caught:
            repository.get("x" * 100_000)
        assert len(caught.value.message) < 1000


async def test_a_load_that_fails_for_outside_reasons_is_tried_again(tmp_path):
    tries = []

    def load(name, version, path):
        tries.append(version)
        if len(tries) < 4:
            raise OSError(5, "Input/output error")
        return Toy(name, version, path)

    put(tmp_path, 1)
    async with serving(tmp_path, load=load) as repository:
        await eventually(lambda: available(repository) == [1])
    assert tries == [1] * 4


async def test_tries_end_and_what_went_wrong_is_told(tmp_path):
    tries = []

    def load(_, version, __):
        tries.append(version)
        raise Unavailable("the bucket does not answer")

    put(tmp_path, 1, 2)
    async with serving(
        [config(tmp_path, specific=(2,))], load=load, policy=LoadPolicy(retries=2, retry_seconds=0)
    ) as r:
        await eventually(lambda: states(r) == {2: State.END})
        assert tries == [2] * 3
        (status,) = r.statuses("m")
        assert (status.code, status.message) == (Code.UNAVAILABLE, "the bucket does not answer")
        shutil.rmtree(tmp_path / "m" / "2")
        put(tmp_path, 2, text="another")
        await eventually(lambda: len(tries) == 6)


async def test_the_next_best_serves_while_the_newest_is_tried_again(tmp_path):
    def load(name, version, path):
        if version == 2:
            raise OSError(5, "Input/output error")
        return Toy(name, version, path)

    put(tmp_path, 1, 2)
    async with serving(tmp_path, load=load, policy=LoadPolicy(retry_seconds=300)) as repository:
        await eventually(lambda: available(repository) == [1])
        assert states(repository)[2] is State.LOADING
        put(tmp_path, 3)  # what nobody wants any more is not tried again
        await eventually(lambda: states(repository) == {3: State.AVAILABLE, 2: State.END, 1: State.END})


async def test_versions_load_side_by_side_and_a_hanging_one_keeps_no_model_waiting(tmp_path):
    gate = threading.Event()

    def load(name, version, path):
        if name == "slow":
            gate.wait(10)
        return Toy(name, version, path)

    for model in ("slow", "a", "b", "c"):
        put(tmp_path, 1, model=model)
    repository = Repository(tmp_path, load, poll_seconds=0.02, policy=LoadPolicy(threads=2))
    starting = asyncio.create_task(repository.start())
    try:
        await eventually(lambda: {s.name for s in repository.servables()} == {"a", "b", "c"})
        assert states(repository, "slow") == {1: State.LOADING}
        gate.set()
        await starting
        assert available(repository, "slow") == [1]
    finally:
        await repository.stop(1)


async def test_a_load_that_never_ends_has_failed_at_its_limit(tmp_path):
    gate = threading.Event()

    def load(name, version, path):
        if version == 2:
            gate.wait(10)
        return Toy(name, version, path)

    put(tmp_path, 1, 2)
    async with serving(tmp_path, load=load, policy=LoadPolicy(limit_seconds=0.2)) as repository:
        await eventually(lambda: available(repository) == [1])
        (newest, _) = repository.statuses("m")
        assert (newest.state, newest.code) == (State.END, Code.DEADLINE_EXCEEDED)
        gate.set()
        await eventually(lambda: Toy.alive["m"] == 1)


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x"), MemoryError()])
async def test_whatever_a_load_raises_stays_with_its_version(tmp_path, error):
    def load(name, version, path):
        if name == "bad":
            raise error
        return Toy(name, version, path)

    put(tmp_path, 1, model="bad")
    put(tmp_path, 1)
    async with serving(tmp_path, load=load, policy=LoadPolicy(retries=0)) as repository:
        assert available(repository) == [1]
        assert states(repository, "bad") == {1: State.END}


@pytest.mark.parametrize(("unload_first", "most"), [(False, 2), (True, 1)])
async def test_the_old_version_goes_after_the_new_one_or_before_it(tmp_path, unload_first, most):
    put(tmp_path, 1)
    policy = LoadPolicy(unload_before_load=unload_first)
    async with serving(tmp_path, policy=policy) as repository:
        put(tmp_path, 2)
        await eventually(lambda: states(repository) == {2: State.AVAILABLE, 1: State.END})
        assert Toy.most_alive["m"] == most


async def test_where_the_old_one_went_first_it_comes_back_for_a_broken_new_one(tmp_path):
    def load(name, version, path):
        if version == 2:
            raise FailedPrecondition("no graph")
        return Toy(name, version, path)

    put(tmp_path, 1)
    async with serving(tmp_path, load=load, policy=LoadPolicy(unload_before_load=True)) as repository:
        put(tmp_path, 2)
        await eventually(lambda: 2 in states(repository) and states(repository)[2] is State.END)
        await eventually(lambda: available(repository) == [1])


async def test_versions_that_are_overtaken_are_left_out(tmp_path):
    gate, loaded = threading.Event(), []

    def load(name, version, path):
        loaded.append(version)
        if version == 2:
            gate.wait(10)
        return Toy(name, version, path)

    put(tmp_path, 1)
    async with serving(tmp_path, load=load) as repository:
        put(tmp_path, 2)
        await eventually(lambda: 2 in loaded)
        for version in (3, 4, 5):
            put(tmp_path, version)
            await asyncio.sleep(0.1)
        gate.set()
        await eventually(lambda: available(repository) == [5])
        assert loaded == [1, 2, 5]


@pytest.mark.parametrize(("vanish", "serves"), [(False, [2]), (True, [1])])
async def test_what_vanishes_serves_on_unless_told_otherwise(tmp_path, vanish, serves):
    put(tmp_path, 1, 2)
    async with serving(tmp_path, policy=LoadPolicy(servables_vanish=vanish)) as repository:
        shutil.rmtree(tmp_path / "m" / "2")
        await eventually(lambda: available(repository) == serves)
        await asyncio.sleep(0.1)
        assert available(repository) == serves
        shutil.rmtree(tmp_path / "m")
        await asyncio.sleep(0.1)
        assert available(repository) == ([] if vanish else serves)


async def test_a_base_directory_that_cannot_be_reached_changes_nothing(tmp_path):
    put(tmp_path / "models", 1)
    for source in (tmp_path / "models", [config(tmp_path / "models")]):
        async with serving(source, policy=LoadPolicy(servables_vanish=True)) as repository:
            (tmp_path / "models").rename(tmp_path / "away")
            await asyncio.sleep(0.1)
            assert available(repository) == [1]
            (tmp_path / "away").rename(tmp_path / "models")


async def test_labels_name_versions(tmp_path):
    put(tmp_path, 1, 2, 3)
    labels = {"stable": 1, "canary": 2, "gone": 7}
    async with serving([config(tmp_path, all=True, labels=labels)]) as repository:
        assert repository.get("m", label="stable").version == 1
        assert repository.get("m", label="canary").version == 2
        with pytest.raises(NotFound, match=r"Specific\(m, 7\)"):
            repository.get("m", label="gone")
        for model, label in (("m", "other"), ("x", "stable")):
            with pytest.raises(InvalidInput, match=rf"^Unrecognized servable version label: {label}$"):
                repository.get(model, label=label)


async def test_labels_move_to_loaded_versions_only(tmp_path):
    put(tmp_path, 1, 2)
    async with serving([config(tmp_path, labels={"stable": 2})]) as repository:
        moved = config(tmp_path, all=True, labels={"stable": 1})
        with pytest.raises(
            FailedPrecondition,
            match=r"^Request to assign label to version 1 of model m, which is not currently available for inference$",
        ):
            await repository.reconfigure([moved], soon())
        assert available(repository) == [2]
        await repository.reconfigure([config(tmp_path, labels={"stable": 1})], soon(), at_start=True)
        await repository.reconfigure([config(tmp_path, all=True, labels={"stable": 2})], soon())
        await repository.reconfigure([moved], soon())
        assert repository.get("m", label="stable").version == 1


async def test_a_new_label_may_name_a_version_to_come_where_that_is_allowed(tmp_path):
    put(tmp_path, 1, 2)
    async with serving([config(tmp_path)], policy=LoadPolicy(labels_for_unavailable=True)) as repository:
        await repository.reconfigure([config(tmp_path, all=True, labels={"stable": 1})], soon())
        assert repository.get("m", label="stable").version == 1
        with pytest.raises(FailedPrecondition, match="assign label to version 9"):
            await repository.reconfigure([config(tmp_path, all=True, labels={"stable": 9})], soon())


async def test_models_come_and_go_by_config(tmp_path):
    put(tmp_path, 1)
    put(tmp_path, 5, model="n")
    async with serving([config(tmp_path)], poll=0) as repository:
        await repository.reconfigure([config(tmp_path), config(tmp_path, "n")], soon())
        assert [(name, status.version) for name, status in repository.index()] == [("m", 1), ("n", 5)]
        await repository.reconfigure([config(tmp_path, "n")], soon())
        await eventually(lambda: states(repository) == {1: State.END})
        with pytest.raises(NotFound):
            repository.get("m")
        assert repository.get("n").version == 5
        assert [c.name for c in repository.configs()] == ["n"]
        await repository.reconfigure([], soon())
        await eventually(lambda: states(repository, "n") == {5: State.END})
        await repository.reconfigure([config(tmp_path)], soon())
        assert repository.get("m").version == 1


async def test_a_config_that_does_not_load_is_told_as_tf_serving_does(tmp_path):
    def load(*_):
        raise FailedPrecondition("no graph")

    put(tmp_path, 3, model="bad")
    async with serving([], load=load) as repository:
        with pytest.raises(NotLoaded) as caught:
            await repository.reconfigure([config(tmp_path, "bad")], soon())
        assert caught.value.message == (
            "1 model(s) did not become available: "
            "{{{name: bad version: 3} due to error: FAILED_PRECONDITION: no graph}, }"
        )
        with pytest.raises(NotLoaded, match="Could not find base path"):
            await repository.reconfigure([config(tmp_path, "nowhere")], soon())
        with pytest.raises(InvalidInput, match="model m: expected a directory"):
            await repository.reconfigure([ModelConfig("m", "gopher://m")], soon())


async def test_a_config_whose_models_take_too_long_says_so(tmp_path):
    gate = threading.Event()

    def load(name, version, path):
        gate.wait(10)
        return Toy(name, version, path)

    put(tmp_path, 1)
    async with serving([], load=load) as repository:
        with pytest.raises(DeadlineExceeded, match="waiting for the models to load"):
            await repository.reconfigure([config(tmp_path)], soon(0.1))
        gate.set()
        await eventually(lambda: available(repository) == [1])


async def test_a_model_can_move_to_another_directory(tmp_path):
    put(tmp_path / "one", 2, text="old")
    put(tmp_path / "other", 1, 2, text="new")
    async with serving([config(tmp_path / "one")]) as repository:
        await repository.reconfigure([config(tmp_path / "other")], soon())
        assert (repository.get("m").version, repository.get("m").text) == (2, "new")
        shutil.rmtree(tmp_path / "one" / "m" / "2")
        put(tmp_path / "one", 1, text="old")
        await repository.reconfigure([config(tmp_path / "one")], soon())
        assert (repository.get("m").version, repository.get("m").text) == (1, "old")


async def test_models_load_and_unload_by_name(tmp_path):
    put(tmp_path, 1, text="old")
    async with serving(tmp_path) as repository:
        await repository.unload("m", soon())
        assert states(repository) == {1: State.END}
        await asyncio.sleep(0.1)
        assert available(repository) == []
        await repository.load("m", soon())
        assert available(repository) == [1]
        shutil.rmtree(tmp_path / "m" / "1")
        put(tmp_path, 1, text="new")
        await repository.load("m", soon())
        assert repository.get("m").text == "new"
        put(tmp_path, 4, model="late")
        await repository.load("late", soon())
        assert repository.get("late").version == 4
        for call in (repository.load, repository.unload):
            with pytest.raises(NotFound, match="'nowhere', there is no such model"):
                await call("nowhere", soon())


async def test_a_load_by_name_that_fails_says_why(tmp_path):
    def load(name, version, path):
        if (path / "saved_model.pb").read_text() == "bad":
            raise FailedPrecondition("no graph")
        return Toy(name, version, path)

    put(tmp_path, 1, text="bad")
    (tmp_path / "empty").mkdir()
    async with serving(tmp_path, load=load) as repository:
        assert [(n, s.version) for n, s in repository.index()] == [("empty", NO_VERSION), ("m", 1)]
        with pytest.raises(FailedPrecondition, match="failed to load 'm', no graph"):
            await repository.load("m", soon())
        with pytest.raises(FailedPrecondition, match="failed to load 'empty', no version is there"):
            await repository.load("empty", soon())


async def test_a_version_serves_from_the_instant_that_was_agreed_on(tmp_path):
    agreed = asyncio.Event()
    instant = [0.0]

    async def agree(_, version):
        if version == 1:
            return 0.0
        await agreed.wait()
        return instant[0]

    put(tmp_path, 1)
    async with serving(tmp_path, agree=agree) as repository:
        put(tmp_path, 2)
        await eventually(lambda: states(repository).get(2) is State.LOADING)
        assert repository.awaits("m", 2)
        assert repository.get("m").version == 1
        instant[0] = time.monotonic() + 0.2
        agreed.set()
        await asyncio.sleep(0.05)
        assert repository.get("m").version == 1
        time.sleep(0.2)  # a busy event loop does not make it late
        assert repository.get("m").version == 2
        assert not repository.awaits("m", 2)
        assert repository.awaits("m", 3)  # others may have seen it already
        assert not repository.awaits("m", 0)


def test_a_loop_that_wakes_sleepers_too_soon_loads_nothing_twice(tmp_path):
    loads = []

    def load(name, version, path):
        loads.append(version)
        return Toy(name, version, path)

    async def agree(*_):
        return time.monotonic() + 0.0123

    async def change():
        async with serving(tmp_path, load=load, agree=agree) as repository:
            for version in range(1, 31):
                put(tmp_path, version)
                await repository.load("m", soon())

    uvloop.run(change())
    assert loads == list(range(1, 31))


async def test_what_was_loaded_long_ago_is_forgotten(tmp_path):
    async with serving(tmp_path) as repository:
        for version in range(1, 131):
            put(tmp_path, version)
            await repository.load("m", soon())
        await eventually(lambda: len(available(repository)) == 1)
        assert len(repository.statuses("m")) <= 110
