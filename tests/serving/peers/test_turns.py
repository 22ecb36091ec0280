"""Workers that take turns, here as tasks: each opens the lock for itself, as a process does."""

import asyncio
import time

from serving.peers.turns import Turns


async def _work(turns, seconds, log):
    async with turns.one():
        log.append("begins")
        await asyncio.sleep(seconds)
        log.append("ends")


async def test_short_work_is_done_one_after_another(tmp_path):
    log = []
    await asyncio.gather(*(_work(Turns(tmp_path), 0.05, log) for _ in range(4)))
    assert log == ["begins", "ends"] * 4


async def test_long_work_is_not_waited_for(tmp_path):
    log = []
    began = time.monotonic()
    await asyncio.gather(*(_work(Turns(tmp_path, patience=0.2), 1.0, log) for _ in range(3)))
    assert log == ["begins"] * 3 + ["ends"] * 3
    assert time.monotonic() - began < 2
