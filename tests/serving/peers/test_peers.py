"""Worker processes that ask each other, here as processes of this test."""

import asyncio
import multiprocessing
import os
import signal
import time

import pytest

from serving.errors import NotFound, Unavailable
from serving.peers import Peers

# The others do nothing but answer, so that forking beside TensorFlow's threads does no harm.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


async def _double(arguments):
    return [os.getpid(), arguments["number"] * 2]


async def _refuse(arguments):
    raise NotFound(f"no {arguments['what']} here")


async def _break(_):
    raise ZeroDivisionError


async def _hang(_):
    await asyncio.sleep(60)


def _serve(directory, ready):
    async def run():
        await Peers(directory, {"double": _double, "refuse": _refuse, "break": _break, "hang": _hang}).start()
        ready.set()
        await asyncio.sleep(60)

    asyncio.run(run())


@pytest.fixture
def others(tmp_path):
    """Two other workers."""
    context = multiprocessing.get_context("fork")
    workers = []
    for _ in range(2):
        ready = context.Event()
        worker = context.Process(target=_serve, args=(tmp_path, ready), daemon=True)
        worker.start()
        assert ready.wait(10)
        workers.append(worker)
    yield workers
    for worker in workers:
        worker.kill()
        worker.join()


def _soon(seconds=5.0):
    return time.monotonic() + seconds


async def test_every_other_worker_answers(tmp_path, others):
    peers = Peers(tmp_path, {})
    await peers.start()
    assert await peers.ask("double", _soon(), number=4) == {worker.pid: [worker.pid, 8] for worker in others}
    await peers.close()


@pytest.mark.usefixtures("others")
async def test_an_error_reaches_who_asked(tmp_path):
    with pytest.raises(NotFound, match="no such thing here"):
        await Peers(tmp_path, {}).ask("refuse", _soon(), what="such thing")


@pytest.mark.usefixtures("others")
async def test_a_failure_tells_nothing_of_the_inside(tmp_path):
    with pytest.raises(Exception, match="a worker failed to answer 'break'"):
        await Peers(tmp_path, {}).ask("break", _soon())


@pytest.mark.usefixtures("others")
async def test_a_silent_worker_is_not_waited_for_beyond_the_deadline(tmp_path):
    began = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer in time"):
        await Peers(tmp_path, {}).ask("hang", _soon(0.3))
    assert time.monotonic() - began < 5


async def test_one_that_was_killed_is_forgotten(tmp_path, others):
    killed, alive = others
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    peers = Peers(tmp_path, {})
    assert set(await peers.ask("double", _soon(), number=1)) == {alive.pid}
    assert peers.pids() == [alive.pid]


async def test_nobody_else_means_no_answers(tmp_path):
    peers = Peers(tmp_path, {"double": _double})
    await peers.start()
    assert await peers.ask("double", _soon(), number=1) == {}
    await peers.close()
    assert not list(tmp_path.iterdir())
