"""Several workers of one server, each with a real repository over versions that load at once: all do as one is told."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from serving.control import Control
from serving.errors import FailedPrecondition, NotFound, NotLoaded, Unavailable
from serving.peers import Peers
from serving.peers.agreement import Agreement
from serving.peers.orders import OrderBook
from serving.peers.switches import Switches
from serving.repository import LoadPolicy, Repository, State
from serving.repository.model_config import ModelConfig, parse
from serving.servables.statistics import ModelStatistics


class Toy:
    """Stands for a loaded version; takes `seconds` to load."""

    def __init__(self, name, version, path):
        text = (path / "saved_model.pb").read_text()
        if text == "broken":
            raise FailedPrecondition("this one is broken")
        self.name, self.version = name, version
        self.statistics = ModelStatistics(name, version)

    def compile_in(self, compiler):
        pass

    async def compiled(self, compiler):
        pass

    async def close(self, timeout):
        pass


class Worker:
    """The parts of a worker that know of the others; `slow`: seconds that each of its loads takes longer."""

    def __init__(self, run, source, number, slow=0.0):
        def load(name, version, path):
            time.sleep(slow)
            return Toy(name, version, path)

        self.agreement = Agreement(
            Switches(run),
            lambda model, version: self.repository.awaits(model, version),
            lambda model, version: self.repository.passes_over(model, version),
        )
        self.repository = Repository(
            source,
            load,
            poll_seconds=0.02,
            policy=LoadPolicy(retry_seconds=0),
            agree=self.agreement.agree,
            let_in=self.agreement.let_in,
        )
        self.control = Control(self.repository)
        self.peers = Peers(run, {**self.control.answers, **self.agreement.answers}, number=number)
        self.agreement.join(self.peers)
        self.control.join(self.peers, OrderBook(run))

    @asynccontextmanager
    async def running(self):
        await self.repository.start()
        await self.control.enter(soon())
        await self.repository.catch_up()
        try:
            yield self
        finally:
            await self.peers.close()
            await self.repository.stop(1)

    def current(self, model="m"):
        return self.repository.get(model).version


def soon(seconds=10):
    return time.monotonic() + seconds


def put(base, version, model="m", text="whole"):
    copy = base / ".copy"
    copy.mkdir(parents=True)
    (copy / "saved_model.pb").write_text(text)
    (base / model).mkdir(exist_ok=True)
    copy.rename(base / model / str(version))


def hide(worker, versions):
    """Lets a worker's looks miss these versions of m."""
    store = worker.repository._models["m"]._source.store
    listed = type(store).versions
    store.versions = lambda: {v: files for v, files in listed(store).items() if v not in versions}


def config(base, model="m"):
    return ModelConfig(model, str(base / model))


@pytest.fixture
def base(tmp_path):
    for model in ("m", "other"):
        put(tmp_path / "models", 1, model)
    return tmp_path / "models"


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest_asyncio.fixture
async def workers(base, run):
    """Two of them, the second the slower one."""
    async with AsyncExitStack() as stack:
        made = [Worker(run, [config(base)], number, slow) for number, slow in ((21, 0.0), (22, 0.2))]
        yield [await stack.enter_async_context(worker.running()) for worker in made]


async def test_a_new_version_serves_in_all_workers_at_once(base, workers):
    put(base, 2)
    seen = []
    async with asyncio.timeout(10):
        while not seen or seen[-1] != (2, 2):
            seen.append(tuple(worker.current() for worker in workers))
            await asyncio.sleep(0.001)
    assert set(seen) == {(1, 1), (2, 2)}


async def test_no_worker_is_behind_another_where_each_sees_other_versions_first(base, workers):
    for worker, versions in zip(workers, ((2,), (3,)), strict=True):
        # As if a look had come between the two: this worker finds one of them only, and the other one a little later.
        hide(worker, {2, 3} - {*versions})
    put(base, 2)
    put(base, 3)
    seen = []
    asyncio.get_running_loop().call_later(0.6, lambda: [hide(worker, ()) for worker in workers])
    async with asyncio.timeout(10):
        while not seen or seen[-1] != (3, 3):
            seen.append(tuple(worker.current() for worker in workers))
            await asyncio.sleep(0.001)
    assert {versions for versions in seen if len(set(versions)) > 1} == set()


async def test_a_version_is_available_once_every_worker_has_it(base, workers):
    put(base, 2)
    async with asyncio.timeout(10):
        while True:
            (newest, *_) = await workers[0].control.status("m")
            if newest.version == 2 and newest.state is State.AVAILABLE:
                break
            await asyncio.sleep(0.001)
    assert [worker.current() for worker in workers] == [2, 2]


async def test_other_models_serve_in_all_workers_when_the_call_returns(base, workers):
    await workers[0].control.reload([config(base, "other")], soon())
    assert [worker.current("other") for worker in workers] == [1, 1]
    for worker in workers:
        with pytest.raises(NotFound):
            worker.current("m")


async def test_what_one_worker_refuses_no_worker_does(base, workers):
    with pytest.raises(FailedPrecondition, match="label"):
        await workers[0].control.reload([ModelConfig("m", str(base / "m"), labels={"best": 7})], soon())
    assert [worker.current() for worker in workers] == [1, 1]


async def test_a_failure_is_told_by_whichever_worker_is_asked(base, workers):
    put(base, 1, "bad", "broken")
    with pytest.raises(NotLoaded, match="did not become available"):
        await workers[0].control.reload([config(base), config(base, "bad")], soon())
    for worker in workers:
        (status,) = await worker.control.status("bad")
        assert (status.state, status.message) == (State.END, "this one is broken")


async def test_models_are_unloaded_and_loaded_in_all_workers(workers):
    await workers[1].control.unload("m", soon())
    for worker in workers:
        with pytest.raises(NotFound):
            worker.current()
    assert [(name, status.state) for name, status in await workers[0].control.index()] == [("m", State.END)]
    await workers[0].control.load("m", soon())
    assert [worker.current() for worker in workers] == [1, 1]
    assert [(name, status.state) for name, status in await workers[1].control.index()] == [("m", State.AVAILABLE)]


async def test_a_worker_that_starts_while_the_others_switch_is_not_behind_them(base, run, workers):
    late = Worker(run, [config(base)], 23, 0.3)
    late.repository._poll_seconds = 60  # it looks when it starts, and when it has joined the others
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(late.running()))
        await asyncio.sleep(0.1)
        put(base, 2)
        await starting
        assert [worker.current() for worker in (*workers, late)] == [2, 2, 2]


async def test_a_worker_that_comes_later_does_as_the_others_were_told(base, run, workers):
    await workers[0].control.reload([config(base, "other"), config(base)], soon())
    await workers[0].control.unload("m", soon())
    async with Worker(run, [config(base)], 23).running() as late:
        assert late.current("other") == 1
        with pytest.raises(NotFound):
            late.current("m")
        assert set(late.peers.pids()) == {21, 22}


async def test_a_worker_that_comes_later_does_as_the_file_says_where_that_came_last(base, run, workers):
    await workers[0].control.reload([config(base, "other")], soon())
    await workers[1].control.unload("other", soon())
    await workers[1].control.reload([config(base)], soon(), from_file=True)
    async with Worker(run, [config(base, "other")], 23).running() as late:
        assert [worker.current() for worker in (*workers, late)] == [1, 1, 1]
        assert late.repository.configs() == workers[0].repository.configs() == (config(base),)


async def test_the_file_as_it_was_last_applied_is_remembered(base, run, workers):
    await workers[0].control.reload([config(base)], soon(), from_file=True)
    await workers[1].control.reload([config(base, "other")], soon())
    await workers[1].control.unload("other", soon())
    orders = OrderBook(run).read()
    assert parse(orders.file) == (config(base),)
    assert parse(orders.config) == (config(base, "other"),)


async def test_an_order_outlives_the_worker_that_it_reached(base, run, workers):
    put(base, 1, "slow")
    order = asyncio.create_task(workers[1].control.reload([config(base, "slow")], soon()))
    await asyncio.sleep(0.1)
    order.cancel()  # as a kill does, it ends while both load
    await asyncio.wait({order})
    async with Worker(run, [config(base)], 23).running() as late:
        assert late.current("slow") == 1
        with pytest.raises(NotFound):
            late.current("m")


async def test_what_was_refused_is_no_order(base, run, workers):
    with pytest.raises(FailedPrecondition, match="label"):
        await workers[0].control.reload([ModelConfig("m", str(base / "m"), labels={"best": 7})], soon())
    async with Worker(run, [config(base)], 23).running() as late:
        assert late.repository.configs() == (config(base),)


async def test_orders_are_carried_out_one_after_another(base, workers):
    orders = [
        worker.control.reload([config(base, model)], soon()) for model in ("m", "other") * 3 for worker in workers
    ]
    await asyncio.gather(*orders)
    assert workers[0].repository.configs() == workers[1].repository.configs() != ()


async def test_an_order_does_not_wait_for_others_for_ever(base, run, workers):
    async with OrderBook(run).alone(soon()):
        with pytest.raises(Unavailable, match="another order"):
            await workers[0].control.reload([config(base)], soon(0.1))


async def test_counts_of_all_workers_add_up(workers):
    for worker in workers:
        worker.repository.get("m").statistics.succeeded(0.5, 3)
    (statistics,) = await workers[0].control.statistics("m")
    assert (statistics.success.count, statistics.success.ns, statistics.inference_count) == (2, 10**9, 6)
    assert [s.name for s in await workers[1].control.statistics()] == ["m"]
    with pytest.raises(NotFound):
        await workers[0].control.statistics("nothing")
