"""The queue of compilations: urgent ones first, and no failure or withdrawal ends it."""

import threading
from concurrent.futures import CancelledError

import pytest

from serving.servables.compiler import Compiler, NotNow


@pytest.fixture
def compiler():
    made = Compiler()
    yield made
    made.close()


def test_the_most_urgent_goes_first_and_equals_in_order(compiler):
    gate, ran = threading.Event(), []
    jobs = [compiler.submit(lambda: gate.wait(10), urgency=0)]
    for name, urgency in (("late", 9.0), ("first", 1.0), ("second", 1.0)):
        jobs.append(compiler.submit(lambda name=name: ran.append(name), urgency=urgency))
    gate.set()
    for job in jobs:
        job.result(10)
    assert ran == ["first", "second", "late"]


def test_a_job_that_nobody_waits_for_any_more_is_left_out_and_others_go_on(compiler):
    gate, begun, ran = threading.Event(), threading.Event(), []

    def hold():
        begun.set()
        gate.wait(10)

    running = compiler.submit(hold, urgency=0)
    assert begun.wait(10)
    withdrawn = compiler.submit(lambda: ran.append("withdrawn"), urgency=0)
    assert withdrawn.cancel()
    assert not running.cancel()
    gate.set()
    compiler.submit(lambda: ran.append("next"), urgency=0).result(10)
    assert ran == ["next"]


def test_a_failure_is_logged_and_others_go_on(compiler, caplog):
    compiler.submit(lambda: 1 / 0, urgency=0).result(10)
    compiler.submit(lambda: None, urgency=0).result(10)
    assert "a compilation failed" in caplog.text


def test_nothing_is_compiled_before_it_may_begin():
    may_begin, ran = threading.Event(), []
    compiler = Compiler(may_begin)
    job = compiler.submit(lambda: ran.append("job"), urgency=0)
    with pytest.raises(TimeoutError):
        job.result(0.2)
    assert not ran
    may_begin.set()
    job.result(10)
    assert ran == ["job"]
    compiler.close()


def test_what_never_began_is_let_go_at_the_end():
    compiler = Compiler(threading.Event())
    job = compiler.submit(lambda: None, urgency=0)
    compiler.close()
    with pytest.raises(CancelledError):
        job.result(10)


def test_a_job_that_another_process_is_at_is_put_off_and_keeps_its_urgency(compiler):
    gate, ran = threading.Event(), []
    tries = []

    def first():
        tries.append(len(ran))
        if len(tries) < 2:
            raise NotNow
        ran.append("first")

    held = compiler.submit(lambda: gate.wait(10), urgency=0)
    jobs = [compiler.submit(first, urgency=1)]
    jobs += [compiler.submit(lambda name=name: ran.append(name), urgency=2) for name in ("second", "third")]
    gate.set()
    for job in (held, *jobs):
        job.result(10)
    assert ran == ["second", "first", "third"]


def test_nobody_waits_for_ever_for_a_job_that_was_put_off(compiler):
    tried = threading.Event()

    def never():
        tried.set()
        raise NotNow

    job = compiler.submit(never, urgency=0)
    assert tried.wait(10)
    compiler.close()
    job.result(10)
