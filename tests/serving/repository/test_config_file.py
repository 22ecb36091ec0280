"""A file of models that changes while they serve."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from serving.errors import FailedPrecondition, InvalidInput, NotLoaded
from serving.repository.config_file import ConfigFile
from serving.repository.model_config import ModelConfig, parse, to_text

ONE = (ModelConfig("one", "/models/one"),)
TWO = (*ONE, ModelConfig("two", "/models/two"))
TURNED = TWO[::-1]


class Applied(list):
    """What was applied; raises `refusal` instead where there is one."""

    refusal = None

    async def __call__(self, configs):
        if self.refusal is not None:
            raise self.refusal
        self.append(tuple(configs))


@asynccontextmanager
async def watched(file, apply):
    failures = []
    watcher = ConfigFile(
        file,
        parse(file.read_text()),
        apply,
        poll_seconds=0.01,
        settle_seconds=0.03,
        failed=lambda: failures.append(1),
    )
    task = asyncio.create_task(watcher.watch())
    try:
        yield failures
    finally:
        task.cancel()


async def eventually(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(to_text(ONE))
    return path


async def test_a_change_is_applied_once(file):
    apply = Applied()
    async with watched(file, apply):
        await asyncio.sleep(0.1)
        assert apply == []
        file.write_text(to_text(TWO))
        await eventually(lambda: apply == [TWO])
        file.write_text(to_text(TURNED) + "\n# the same models")
        await asyncio.sleep(0.1)
        assert apply == [TWO]


async def test_a_file_that_is_still_being_written_is_left_alone(file):
    apply = Applied()
    async with watched(file, apply) as failures:
        file.write_text("")
        await asyncio.sleep(0.015)
        file.write_text(to_text(TWO)[:-2])
        await asyncio.sleep(0.015)
        file.write_text(to_text(TWO))
        await eventually(lambda: apply)
        assert (apply, failures) == ([TWO], [])


@pytest.mark.parametrize("bad", ["model_config_list {", None, b"\xff"])
async def test_a_bad_file_changes_nothing_and_is_told_of_once(file, caplog, bad):
    apply = Applied()
    async with watched(file, apply) as failures:
        if bad is None:
            file.unlink()
        else:
            file.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
        await eventually(lambda: failures)
        await asyncio.sleep(0.1)
        assert len(failures) == 1
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        assert apply == []
        file.write_text(to_text(TWO))
        await eventually(lambda: apply == [TWO])


async def test_a_file_that_is_being_written_unloads_nothing(file):
    apply = Applied()
    async with watched(file, apply) as failures:
        for nothing in ("", "# models\n"):
            file.write_text(nothing)
            await asyncio.sleep(0.05)
        assert apply == failures == []
        file.write_text("model_config_list {}")
        await eventually(lambda: apply == [()])


async def test_a_label_that_could_not_move_yet_is_tried_again(file):
    apply = Applied()
    apply.refusal = FailedPrecondition("Request to assign label to version 2")
    async with watched(file, apply) as failures:
        file.write_text(to_text(TWO))
        await eventually(lambda: failures)
        apply.refusal = None
        await eventually(lambda: apply == [TWO])
        assert len(failures) == 1


@pytest.mark.parametrize("refusal", [InvalidInput("gopher"), NotLoaded("1 model(s) did not become available")])
async def test_what_is_refused_for_good_is_not_tried_again(file, refusal):
    apply = Applied()
    apply.refusal = refusal
    async with watched(file, apply) as failures:
        file.write_text(to_text(TWO))
        await eventually(lambda: failures)
        apply.refusal = None
        await asyncio.sleep(0.1)
        assert (apply, len(failures)) == ([], 1)
        file.write_text(to_text(ONE))
        await eventually(lambda: apply == [ONE])
