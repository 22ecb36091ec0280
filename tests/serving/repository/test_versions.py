"""Which versions serve, by policy and by what happens to them: a real repository over servables that load at once."""

import asyncio
import shutil
import threading
import time

import pytest

from serving.errors import (
    Code,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from serving.repository import LoadPolicy, Repository, State

from .toys import Toy, available, config, eventually, put, serving, soon, states


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


async def test_nothing_is_compiled_while_models_load_at_the_start_and_everything_afterwards(tmp_path):
    loaded, compiled, quick = [], [], threading.Event()

    class Compiled(Toy):
        def compile_in(self, compiler):
            compiler.submit(lambda: compiled.append((self.name, sorted(loaded))), urgency=0)
            quick.set()

    def load(name, version, path):
        if name == "slow":
            assert quick.wait(10)
            time.sleep(0.3)  # in which the quick one would be compiled
        loaded.append(name)
        return Compiled(name, version, path)

    put(tmp_path, 1, model="quick")
    put(tmp_path, 1, model="slow")
    async with serving(tmp_path, load=load):
        await eventually(lambda: len(compiled) == 2)
    assert sorted(compiled) == [("quick", ["quick", "slow"]), ("slow", ["quick", "slow"])]


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
        await eventually(lambda: states(repository, "slow") == {1: State.LOADING})
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
        await eventually(lambda: repository.passes_over("m", 4))
        assert [repository.awaits("m", version) for version in range(1, 7)] == [False, True, False, False, True, True]
        assert [repository.passes_over("m", version) for version in (1, 3, 5)] == [False, True, False]
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


class Switch:
    """Stands for other workers: while it holds, what has loaded waits until the switch is made."""

    def __init__(self):
        self.install, self.holds, self.made, self.problem = None, False, False, None

    async def agree(self, _, __, install, ___):
        if not self.holds:
            install()
            return
        self.install = install
        try:
            while self.install is not None:
                if self.problem is not None:
                    raise self.problem
                await asyncio.sleep(0.01)
        finally:
            self.install = None

    def let_in(self):
        if self.made and self.install is not None:
            self.install()
            self.install = None


async def test_a_version_serves_from_the_first_look_after_the_switch(tmp_path):
    switch = Switch()
    put(tmp_path, 1)
    async with serving(tmp_path, agree=switch.agree, let_in=switch.let_in) as repository:
        switch.holds = True
        put(tmp_path, 2)
        await eventually(lambda: switch.install is not None)
        assert states(repository) == {2: State.LOADING, 1: State.AVAILABLE}
        assert repository.awaits("m", 2)
        assert repository.get("m").version == 1
        switch.made = True
        assert repository.get("m").version == 2  # a busy event loop does not make it late
        assert not repository.awaits("m", 2)
        assert repository.awaits("m", 3)  # others may have seen it already
        assert not repository.awaits("m", 0)


@pytest.mark.parametrize(
    "look",
    [
        lambda repository: repository.get("m", 2).version == 2,
        lambda repository: states(repository)[2] is State.AVAILABLE,
        lambda repository: {s.version for s in repository.servables()} == {1, 2},
    ],
)
async def test_whatever_is_looked_at_first_shows_the_switch(tmp_path, look):
    switch = Switch()
    put(tmp_path, 1)
    async with serving(tmp_path, agree=switch.agree, let_in=switch.let_in) as repository:
        switch.holds = True
        put(tmp_path, 2)
        await eventually(lambda: switch.install is not None)
        switch.made = True
        assert look(repository)


async def test_what_replaces_a_version_is_awaited_and_comes_with_the_switch(tmp_path):
    switch = Switch()
    put(tmp_path, 1)
    async with serving(tmp_path, agree=switch.agree, let_in=switch.let_in) as repository:
        switch.holds = True
        assert not repository.awaits("m", 1)
        (tmp_path / "m" / "1" / "saved_model.pb").write_text("another")
        loading = asyncio.create_task(repository.load("m", soon()))
        await eventually(lambda: switch.install is not None)
        assert repository.awaits("m", 1)
        assert repository.get("m", 1).text == "whole"
        switch.made = True
        assert repository.get("m", 1).text == "another"
        assert not repository.awaits("m", 1)
        await loading


async def test_a_version_that_cannot_be_agreed_on_is_loaded_again(tmp_path):
    switch = Switch()
    put(tmp_path, 1)
    policy = LoadPolicy(retry_seconds=0.8)  # a tenth of a second at first
    async with serving(tmp_path, agree=switch.agree, let_in=switch.let_in, policy=policy) as repository:
        switch.holds, switch.problem = True, OSError(28, "No space left on device")
        put(tmp_path, 2)
        await eventually(lambda: "No space" in repository.statuses("m")[0].message)
        assert repository.get("m").version == 1
        switch.problem, switch.made = None, True
        await eventually(lambda: repository.get("m").version == 2)


async def test_what_was_loaded_long_ago_is_forgotten(tmp_path):
    async with serving(tmp_path) as repository:
        for version in range(1, 131):
            put(tmp_path, version)
            await repository.load("m", soon())
        await eventually(lambda: len(available(repository)) == 1)
        assert len(repository.statuses("m")) <= 110
