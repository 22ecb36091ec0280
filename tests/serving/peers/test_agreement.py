"""Workers that switch to a new version together."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time

import pytest
import pytest_asyncio

from serving.peers import Peers
from serving.peers.agreement import Agreement
from serving.peers.switches import Switches


class Worker:
    """A worker of which every version is loaded as soon as it is told to; `busy`: those that it is still loading."""

    def __init__(self, directory, number, switches=Switches, **options):
        self.busy = set()
        self.passed_over, self.wanted = set(), True
        self.serves = {"m": 1, "n": 1}
        self.lateness = 0.0  # seconds until this worker answers
        self.agreement = Agreement(
            switches(directory),
            lambda model, version: (model, version) in self.busy,
            lambda model, version: version in self.passed_over,
            **options,
        )
        answers = {"point": self._point, "current": self._current}
        self.peers = Peers(directory, answers, number=number)
        self.agreement.join(self.peers)

    async def _point(self, arguments):
        answer = await self.agreement.answers["point"](arguments)
        await asyncio.sleep(self.lateness)
        return answer

    async def _current(self, arguments):
        return self.current(arguments["model"])

    def current(self, model="m"):
        self.agreement.let_in()
        return self.serves[model]

    async def loaded(self, version, after=0.0, model="m"):
        await asyncio.sleep(after)
        self.busy.discard((model, version))
        await self.agreement.agree(model, version, lambda: self.serves.update({model: version}), lambda: self.wanted)


@pytest_asyncio.fixture
async def workers(tmp_path):
    made = [Worker(tmp_path, number, patience=1.0, silence=0.4) for number in (11, 12, 13)]
    for worker in made:
        await worker.peers.start()
    yield made
    for worker in made:
        await worker.peers.close()


async def seen_while(workers, *agreeing):
    """What the workers serve, looked up one right after another, until all that is agreed on serves."""
    together, seen = asyncio.gather(*agreeing), []
    while not together.done():
        seen.append(tuple(worker.current() for worker in workers))
        await asyncio.sleep(0.001)
    await together
    return [*seen, tuple(worker.current() for worker in workers)]


@pytest.mark.parametrize("pauses", [(0, 0.2, 0.1), (0.2, 0, 0.1), (0, 0.1, 0.2)])
async def test_no_worker_is_behind_another(workers, pauses):
    for worker in workers:
        worker.busy.add(("m", 2))
    seen = await seen_while(workers, *(worker.loaded(2, after) for worker, after in zip(workers, pauses, strict=True)))
    assert set(seen) == {(1, 1, 1), (2, 2, 2)}
    assert [worker.current("n") for worker in workers] == [1, 1, 1]


@pytest.mark.parametrize("late", [[0], [1], [2], [0, 1, 2]])
@pytest.mark.parametrize("seconds", [0.3, 0.6])  # some are silent for longer than anybody waits for an answer
async def test_busy_workers_switch_with_the_others(workers, late, seconds):
    for number in late:
        workers[number].lateness = seconds
    assert set(await seen_while(workers, *(worker.loaded(2) for worker in workers))) == {(1, 1, 1), (2, 2, 2)}


async def test_one_that_is_silent_and_has_not_loaded_it_comes_later(workers):
    workers[0].lateness = 0.6
    workers[0].busy.add(("m", 2))
    await asyncio.gather(*(worker.loaded(2) for worker in workers[1:]))
    assert [worker.current() for worker in workers] == [1, 2, 2]
    await workers[0].loaded(2)
    assert [worker.current() for worker in workers] == [2, 2, 2]


async def test_one_that_failed_is_not_waited_for(workers):
    for version in (2, 3):  # nor has one to wait that is the only one to have a version, lower in number or not
        began = time.monotonic()
        await workers[version - 2].loaded(version)
        assert time.monotonic() < began + 0.5


async def test_one_that_loads_for_ever_delays_the_others_no_longer_than_their_patience(workers):
    workers[2].busy.add(("m", 2))
    began = time.monotonic()
    seen = await seen_while(workers, *(worker.loaded(2) for worker in workers[:2]))
    assert set(seen) == {(1, 1, 1), (2, 2, 1)}
    assert 1 <= time.monotonic() - began < 5


async def test_versions_of_several_models_do_not_meet(workers):
    workers[1].busy.add(("n", 2))
    waiting = [asyncio.create_task(worker.loaded(2, model="n")) for worker in (workers[0], workers[2])]
    await asyncio.gather(*(worker.loaded(2) for worker in workers))
    assert [(worker.current(), worker.current("n")) for worker in workers] == [(2, 1)] * 3
    await asyncio.gather(*waiting, workers[1].loaded(2, model="n"))
    assert [worker.current("n") for worker in workers] == [2] * 3


async def test_what_another_worker_passes_over_is_not_served_but_passed_over_too(workers):
    workers[1].passed_over.add(2)
    loading = asyncio.create_task(workers[0].loaded(2))
    await asyncio.sleep(0.2)
    assert not loading.done()  # there is no newer one here yet
    workers[0].wanted = False
    await loading
    assert [worker.current() for worker in workers] == [1, 1, 1]


async def test_what_has_the_number_of_an_earlier_version_waits_for_a_switch_of_its_own(workers):
    await asyncio.gather(*(worker.loaded(2) for worker in workers))
    for worker in workers:
        worker.serves["m"] = None  # unloaded
        worker.busy.add(("m", 2))
    seen = await seen_while(
        workers, *(worker.loaded(2, after) for worker, after in zip(workers, (0, 0.1, 0.2), strict=True))
    )
    assert set(seen) == {(None,) * 3, (2,) * 3}


async def test_whoever_does_not_wait_any_longer_is_not_let_in(workers):
    workers[2].busy.add(("m", 2))
    waiting = asyncio.create_task(workers[0].loaded(2))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    await asyncio.gather(*(worker.loaded(2) for worker in workers[1:]))
    assert [worker.current() for worker in workers] == [1, 2, 2]


class FullDisk(Switches):
    def make(self, *_):
        raise OSError(28, "No space left on device")


async def test_a_switch_that_cannot_be_written_down_is_none(tmp_path):
    alone = Worker(tmp_path, 11, FullDisk)
    with pytest.raises(OSError, match="No space"):
        await alone.loaded(2)
    assert alone.current() == 1


async def test_the_only_worker_switches_at_once(tmp_path):
    alone = Worker(tmp_path, 11)
    await alone.loaded(2)
    assert alone.current() == 2


def _wait_for_version_2(directory):
    """A worker that has loaded version 2 of m, and waits for the others."""

    async def run():
        worker = Worker(directory, os.getpid())
        loading = asyncio.create_task(worker.loaded(2))
        await asyncio.sleep(0)
        await worker.peers.start()
        await loading
        await asyncio.sleep(60)

    asyncio.run(run())


async def _eventually(condition):
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def others(workers, count):
    """Other processes that have loaded version 2 and wait for `workers`, which have not."""
    for worker in workers:
        worker.busy.add(("m", 2))
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=_wait_for_version_2, args=(workers[0].peers._directory,), daemon=True)
        for _ in range(count)
    ]
    for process in started:
        process.start()
    pids = {process.pid for process in started}

    async def wait():
        asked = await workers[0].peers.ask("point", time.monotonic() + 10, lenient=True, model="m", version=2)
        return pids <= {pid for pid, point in asked.items() if point == "prepared"}

    try:
        await _eventually(wait)
        yield sorted(pids)
    finally:
        for process in started:
            process.kill()
            process.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_process_that_was_stopped_meanwhile_answers_with_the_new_version_at_once(workers):
    async with others(workers, 1) as (pid,):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.gather(*(worker.loaded(2) for worker in workers))
        assert [worker.current() for worker in workers] == [2, 2, 2]
        asking = asyncio.create_task(workers[0].peers.ask("current", time.monotonic() + 10, model="m"))
        await asyncio.sleep(0.1)
        assert not asking.done()
        os.kill(pid, signal.SIGCONT)
        assert (await asking)[pid] == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_process_that_dies_before_it_switches_is_not_waited_for(workers):
    async with others(workers, 2) as (leader, follower):
        os.kill(leader, signal.SIGKILL)
        for worker in workers:
            worker.busy.clear()

        async def switched():
            asked = await workers[0].peers.ask("current", time.monotonic() + 10, model="m")
            return asked[follower] == 2

        await _eventually(switched)
