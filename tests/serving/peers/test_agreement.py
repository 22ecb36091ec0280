"""Workers that switch to a new version together."""

import asyncio
import time

import pytest_asyncio

from serving.peers import Peers
from serving.peers.agreement import Agreement


class Worker:
    """A worker that says what it is told to; `busy`: versions that it is still loading."""

    def __init__(self, directory, number, patience):
        self.busy = set()
        self.lateness = 0.0
        self.agreement = Agreement(lambda model, version: (model, version) in self.busy, patience=patience)
        answers = {question: self._late(answer) for question, answer in self.agreement.answers.items()}
        self.peers = Peers(directory, answers, number=number)
        self.agreement.join(self.peers)

    def _late(self, answer):
        async def late(arguments):
            await asyncio.sleep(self.lateness)
            return await answer(arguments)

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


async def test_busy_workers_hear_of_the_instant_before_it_comes(workers):
    for worker in workers:
        worker.lateness = 0.15
    heard = []

    async def loaded(worker):
        instant = await worker.loaded(2)
        heard.append(instant - time.monotonic())

    await asyncio.gather(*map(loaded, workers))
    assert min(heard) > 0.1
    assert max(heard) < 2.0


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
