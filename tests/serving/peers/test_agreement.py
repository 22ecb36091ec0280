"""Workers that switch to a new version together."""

import asyncio
import time

import pytest
import pytest_asyncio

from serving.peers import Peers
from serving.peers.agreement import Agreement


class Worker:
    """A worker that says what it is told to; `busy`: versions that it is still loading."""

    def __init__(self, directory, number, patience):
        self.busy = set()
        self.lateness = dict.fromkeys(("point", "switch"), 0.0)  # seconds until this worker answers
        self.agreement = Agreement(lambda model, version: (model, version) in self.busy, patience=patience)
        answers = {question: self._late(question, answer) for question, answer in self.agreement.answers.items()}
        self.peers = Peers(directory, answers, number=number)
        self.agreement.join(self.peers)

    def _late(self, question, answer):
        async def late(arguments):
            answered = await answer(arguments)
            await asyncio.sleep(self.lateness[question])
            return answered

        return late

    async def loaded(self, version, after=0.0):
        await asyncio.sleep(after)
        self.busy.discard(("m", version))
        return await self.agreement.instant("m", version)


@pytest_asyncio.fixture
async def workers(tmp_path):
    made = [Worker(tmp_path, number, patience=1.0) for number in (11, 12, 13)]
    for worker in made:
        await worker.peers.start()
    yield made
    for worker in made:
        await worker.peers.close()


async def test_all_name_one_instant_that_is_still_to_come(workers):
    for worker in workers:
        worker.busy.add(("m", 2))
    instants = await asyncio.gather(
        *(worker.loaded(2, after) for worker, after in zip(workers, (0, 0.2, 0.1), strict=True))
    )
    assert len(set(instants)) == 1
    assert 0 < instants[0] - time.monotonic() < 0.2


@pytest.mark.parametrize("question", ["point", "switch"])
@pytest.mark.parametrize("late", [[0], [1], [2], [0, 1, 2]])
async def test_busy_workers_hear_of_the_instant_before_it_comes(workers, late, question):
    for number in late:
        workers[number].lateness[question] = 0.3
    ahead = []

    async def loaded(worker):
        instant = await worker.loaded(2)
        ahead.append(instant - time.monotonic())
        return instant

    assert len(set(await asyncio.gather(*map(loaded, workers)))) == 1
    assert min(ahead) > 0


async def test_one_that_is_silent_is_left_out_and_the_others_switch_together(workers):
    workers[0].lateness["point"] = 3.0  # longer than anybody waits for an answer
    instants = await asyncio.gather(*(worker.loaded(2) for worker in workers[1:]))
    assert len(set(instants)) == 1
    await asyncio.sleep(1.5)


async def test_the_slowest_leads_as_well_as_the_fastest(workers):
    for worker in workers:
        worker.busy.add(("m", 2))
    instants = await asyncio.gather(
        *(worker.loaded(2, after) for worker, after in zip(workers, (0.2, 0, 0.1), strict=True))
    )
    assert len(set(instants)) == 1


async def test_one_that_failed_is_not_waited_for(workers):
    began = time.monotonic()
    instants = await asyncio.gather(*(worker.loaded(2) for worker in workers[1:]), workers[0].loaded(2))
    assert len(set(instants)) == 1
    for worker in workers:  # none has to wait for one that is not concerned, lower in number or not
        assert await worker.loaded(3) < began + 1


async def test_one_that_loads_for_ever_delays_the_others_no_longer_than_their_patience(workers):
    workers[2].busy.add(("m", 2))
    began = time.monotonic()
    await asyncio.gather(*(worker.loaded(2) for worker in workers[:2]))
    assert 1 <= time.monotonic() - began < 5


async def test_versions_of_several_models_do_not_meet(workers):
    async def loaded(worker, model):
        return await worker.agreement.instant(model, 2)

    both = await asyncio.gather(*(loaded(worker, model) for model in ("m", "n") for worker in workers))
    assert len(set(both[:3])) == len(set(both[3:])) == 1


async def test_the_only_worker_switches_at_once(tmp_path):
    alone = Agreement(lambda model, version: False)
    assert await alone.instant("m", 1) <= time.monotonic()
    alone.join(Peers(tmp_path, alone.answers))
    assert await alone.instant("m", 1) <= time.monotonic()
