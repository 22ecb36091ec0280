"""Which versions serve, by label, config and command: a real repository over servables that load at once."""

import asyncio
import shutil
import threading

import pytest

from serving.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    NotLoaded,
)
from serving.repository import NO_VERSION, LoadPolicy, State
from serving.repository.model_config import ModelConfig

from .toys import Toy, available, config, eventually, put, serving, soon, states


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
