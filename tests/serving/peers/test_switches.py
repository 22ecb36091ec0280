"""What workers of one server have switched to, as each of them reads it; some are processes of this test."""

import mmap
import multiprocessing
import os
import random
import signal
import time

import pytest

from serving.peers.switches import Switches, key_of

# The processes do nothing but count, so that forking beside TensorFlow's threads does no harm.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
SECONDS = 60.0
SWITCHES = 100


def make(switches, key):
    switches.make(key, switches.count)


def heard(switches):
    """Reads until nobody has rung, as lookups do one after another."""
    keys = []
    while switches.is_rung():
        keys += switches.read()
    return keys


def test_every_worker_reads_every_switch_once_and_in_order(tmp_path):
    workers = [Switches(tmp_path) for _ in range(3)]
    for worker, key in zip((*workers, workers[0]), (5, 7, -(2**63), 2**63 - 1), strict=True):
        make(worker, key)
        worker.read()
    assert [heard(worker) for worker in workers[1:]] == [[-(2**63), 2**63 - 1], [2**63 - 1]]
    assert [worker.count for worker in workers] == [4, 4, 4]
    assert [heard(worker) for worker in workers] == [[]] * 3


def test_whoever_finds_a_switch_rings_for_those_who_have_looked_before_it_was_made(tmp_path):
    leader, finder, late = (Switches(tmp_path) for _ in range(3))
    for worker in (leader, finder, late):
        heard(worker)
    make(leader, 5)  # and dies before it rings
    assert not late.is_rung()
    assert finder.read() == [5]
    assert late.is_rung()
    assert heard(late) == [5]


def test_a_switch_that_two_workers_make_is_one(tmp_path):
    first, second = Switches(tmp_path), Switches(tmp_path)
    since = second.count
    make(first, 5)
    second.make(5, since)
    assert first.read() == [5]
    make(first, 5)  # but to what has the same number later, one switches again
    make(second, 6)
    assert first.read() == second.read()[1:] == [5, 6]


def test_a_worker_that_starts_later_knows_what_was_switched_to_before(tmp_path):
    first = Switches(tmp_path)
    make(first, 5)
    first.read()
    late = Switches(tmp_path)
    assert late.count == 1
    assert heard(late) == heard(first) == []
    first.make(5, 0)  # by one that was stopped for a while
    assert late.read() == first.read() == []


def test_keys_tell_models_and_versions_apart():
    keys = {key_of(model, version) for model in ("", "m", "1 m", "ü" * 1000) for version in (0, 1, 11, 2**63 - 1)}
    assert len(keys) == 16


def _look(directory, newest, number, together, all_wait):
    """Looks up what is current, again and again, and tells what it saw; makes the switches that are its to make."""
    switches, current, dice = Switches(directory), 0, random.Random(number)
    all_wait.wait(60)
    until = time.monotonic() + SECONDS
    while min(newest) < SWITCHES and time.monotonic() < until:
        seen = max(newest)
        if switches.is_rung():
            current = max(switches.read(), default=current)
        assert current >= seen, "this lookup began after another process had seen a newer version"
        newest[number] = current
        if (together or current % len(newest) == number) and not dice.randrange(20):
            make(switches, current + 1)
            current = max(switches.read(), default=current)  # else nobody might ever look


@pytest.mark.parametrize("together", [False, True])
def test_no_lookup_that_begins_after_another_process_has_answered_is_behind_it(tmp_path, together):
    newest = memoryview(mmap.mmap(-1, 8 * 3)).cast("q")
    context = multiprocessing.get_context("fork")
    all_wait = context.Barrier(3)
    workers = [
        context.Process(target=_look, args=(tmp_path, newest, number, together, all_wait), daemon=True)
        for number in range(3)
    ]
    for worker in workers:
        worker.start()
    dice = random.Random(7)
    while any(worker.is_alive() for worker in workers):
        stopped = dice.choice(workers)
        if stopped.is_alive():
            os.kill(stopped.pid, signal.SIGSTOP)
            time.sleep(0.003)
            os.kill(stopped.pid, signal.SIGCONT)
        time.sleep(0.001)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert min(newest) >= SWITCHES
