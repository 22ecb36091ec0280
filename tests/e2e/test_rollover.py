"""A new version every second under steady traffic over 64 connections.

Versions are what training gives: the same graph with other weights. Then each is another graph, with a number of its
own in it, so that each is compiled beside the traffic; that makes more answers wait, and only has to lose none.

Ten seconds with two workers here; SEQSERVE_TEST_ROLLOVER_SECONDS=60 runs a whole minute, with one worker and with two,
under a light load and with connections that ask again as soon as they are answered. With other weights the slowest
hundredth of answers may then take no more than twice as long as without new versions. On a busy machine, ten seconds
say little about that. Most of the time goes into the start of the server, as people start it.

On a machine with much else to do, and with workers that are stopped now and then, no answer is outdated either.
"""

import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest
import tensorflow as tf

from .servers import Server, serving

SECONDS = int(os.environ.get("SEQSERVE_TEST_ROLLOVER_SECONDS", "10"))
AT_ONCE = 0  # a rate: the next question follows each answer
WORKERS, RATES = ([1, 2], [300, AT_ONCE]) if SECONDS >= 60 else ([2], [300])
CONNECTIONS, QUIET_SECONDS = 64, max(5, SECONDS // 4)
MARK = 12345.0


class Weights(tf.Module):
    """Answers with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.number = tf.Variable(MARK)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.reduce_sum(x, axis=-1) * 0.0 + self.number}


class Graph(tf.Module):
    """Answers with a number in the graph."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.reduce_sum(x, axis=-1) * 0.0 + MARK}


@dataclass(frozen=True)
class Answer:
    sent: float
    received: float
    status: int
    body: bytes

    @property
    def version(self) -> int:
        return int(orjson.loads(self.body)["outputs"][0])


class Versions:
    """Puts versions where the server looks for them, each whole at once. They are made beforehand."""

    def __init__(self, folder: Path, kind: type[Weights | Graph], count: int) -> None:
        self.base, self.newest = folder / "models", 0
        self._ready = folder / "ready"
        (self.base / "m").mkdir(parents=True)
        module = kind()
        tf.saved_model.save(module, str(folder / "any"), signatures={"serving_default": module.serve})
        for number in range(1, count + 1):
            copy = shutil.copytree(folder / "any", self._ready / str(number))
            if isinstance(module, Weights):
                module.number.assign(number)
                tf.train.Checkpoint(number=module.number).write(str(copy / "variables" / "variables"))
            else:
                graph = (copy / "saved_model.pb").read_bytes()
                graph = graph.replace(struct.pack("<f", MARK), struct.pack("<f", float(number)))
                (copy / "saved_model.pb").write_bytes(graph)

    def put(self) -> None:
        self.newest += 1
        (self._ready / str(self.newest)).rename(self.base / "m" / str(self.newest))


def asking(server: Server, rate: int, seconds: float, file: Path) -> "subprocess.Popen[bytes]":
    script = Path(__file__).with_name("steady_traffic.py")
    body = '{"inputs": [[1, 2, 3]]}'
    address = server.rest.removeprefix("http://")
    options = map(str, (CONNECTIONS, rate, seconds, file))
    return subprocess.Popen([sys.executable, script, address, "/v1/models/m:predict", body, *options])


def answers(file: Path) -> Iterator[Answer]:
    for line in file.read_bytes().splitlines():
        sent, received, status, body = line.split(b" ", 3)
        yield Answer(float(sent), float(received), int(status), body)


def p99(given: list[Answer]) -> float:
    return float(np.percentile([answer.received - answer.sent for answer in given], 99))


def outdated(given: list[Answer]) -> int:
    """How many answers came from a version that had been replaced when they were asked for."""
    events = sorted(
        [(answer.received, 0, answer.version) for answer in given]
        + [(answer.sent, 1, answer.version) for answer in given]
    )
    newest = count = 0
    for _, is_question, version in events:
        newest = newest if is_question else max(newest, version)
        count += is_question and version < newest
    return count


@contextlib.contextmanager
def busy_machine() -> Iterator[None]:
    """Others compute on every core, twice over."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def stopping_workers(server: Server) -> Iterator[None]:
    """Again and again, one of the workers is stopped for a moment."""
    ended, dice = threading.Event(), random.Random(7)
    workers = server.workers()

    def stop() -> None:
        while not ended.wait(dice.uniform(0.5, 1.5)):
            worker = dice.choice(workers)
            worker.send_signal(signal.SIGSTOP)
            try:
                ended.wait(0.3)
            finally:
                worker.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [Weights, Graph])
def test_no_answer_is_outdated_on_a_busy_machine_or_by_a_worker_that_was_stopped(
    tmp_path: Path, kind: type[Weights | Graph]
) -> None:
    versions = Versions(tmp_path, kind, SECONDS + 10)
    versions.put()
    with serving(tmp_path, "--models", str(versions.base), "--workers", "2") as server:
        server.wait_until_ready()
        asking(server, 300, 2, tmp_path / "first").wait(120)
        with busy_machine(), stopping_workers(server):
            traffic = asking(server, 300, SECONDS, tmp_path / "busy")
            until = time.monotonic() + SECONDS
            while traffic.poll() is None:
                if time.monotonic() < until:
                    versions.put()
                time.sleep(1)
    given = list(answers(tmp_path / "busy"))
    seen = {answer.version for answer in given}
    print(f"{len(given)} answers from {len(seen)} versions, {outdated(given)} of them outdated")
    assert {answer.status for answer in given} == {200}
    assert outdated(given) == 0
    assert len(seen) > 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", [Weights, Graph])
def test_versions_change_under_load_without_a_failure(
    tmp_path: Path, kind: type[Weights | Graph], workers: int, rate: int
) -> None:
    versions = Versions(tmp_path, kind, 2 * SECONDS + 60)
    versions.put()
    with serving(tmp_path, "--models", str(versions.base), "--workers", str(workers)) as server:
        server.wait_until_ready()
        asking(server, rate, 2, tmp_path / "first").wait(120)
        asking(server, rate, QUIET_SECONDS, tmp_path / "quiet").wait(120)
        traffic = asking(server, rate, SECONDS, tmp_path / "busy")
        began = time.monotonic()
        while traffic.poll() is None:
            time.sleep(max(0.0, began + versions.newest - time.monotonic()))
            versions.put()
    quiet, busy = list(answers(tmp_path / "quiet")), list(answers(tmp_path / "busy"))
    seen = {answer.version for answer in busy}
    print(
        f"{workers} workers, {rate or 'all'} requests a second, {len(busy)} answers from {len(seen)} versions with "
        f"other {kind.__name__.lower()}; p99 {p99(quiet) * 1e3:.1f} ms quiet, {p99(busy) * 1e3:.1f} ms with a new "
        "version every second"
    )
    assert {answer.status for answer in busy} == {200}
    assert outdated(busy) == 0
    assert len(seen) > SECONDS // 3
    if SECONDS >= 60 and kind is Weights:
        assert p99(busy) < 2 * p99(quiet)
