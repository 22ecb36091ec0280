"""Work-conserving batches: an idle model runs what there is at once; while it is busy, arrivals form the next batch.

Requests of like shapes are merged along axis 0, padded to compiled sizes, run together and split again. Knows no
TensorFlow and no protocol: it takes a plain callable of numpy arrays.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from serving.errors import DeadlineExceeded, Internal, InvalidInput, Overloaded, ServingError, Unavailable
from serving.servables.inputs import InputRule

_log = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests may be merged.

    max_batch_size: rows in one batch; a larger request is run in slices.
    allowed_batch_sizes: ascending sizes a batch is padded up to; empty for no padding.
    max_enqueued_rows, max_enqueued_bytes: what may wait; beyond, requests are refused at once.
    rules: padding of variable axes, by input.
    merges: whether requests may be merged at all; if not, each runs alone and whole.
    has_rows: whether axis 0 is a batch, so that reports count rows even where nothing is merged.
    """

    max_batch_size: int = 64
    allowed_batch_sizes: tuple[int, ...] = ()
    max_enqueued_rows: int = 4096
    max_enqueued_bytes: int = 1 << 30
    rules: Mapping[str, InputRule] = field(default_factory=dict)
    merges: bool = True
    has_rows: bool = True

    def padded_size(self, rows: int) -> int:
        """The batch size that `rows` are run as."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


class _NotByRows(Internal):
    """An output that should have a row for each of the batch has another number of them."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one run cost: seconds waited by each request, seconds computed, real and padded elements.

    seconds: from leaving the queue to the answers. Of it, input_seconds went into merging and padding, run_seconds
    into the model, output_seconds into splitting; the rest into waiting for a thread.
    """

    rows: int
    padded_rows: int
    waits: Sequence[float]
    seconds: float
    elements: int
    padded_elements: int
    input_seconds: float = 0.0
    run_seconds: float = 0.0
    output_seconds: float = 0.0
    request_rows: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _Computed:
    """A batch that has run: an answer for each job, its size, and the moments between its steps."""

    answers: Sequence[Arrays]
    padded: int
    elements: int
    padded_elements: int
    times: tuple[float, float, float, float]


@dataclass(eq=False, slots=True)
class _Job:
    inputs: Arrays
    rows: int  # as far as batches go: one where nothing is merged
    reported: int
    lengths: tuple[int, ...]  # bucket of each ruled input
    rest: tuple[tuple[int, ...], ...]  # every other axis: must be equal within a batch
    deadline: float
    future: asyncio.Future[Arrays]
    queued: float
    nbytes: int
    waits: bool = True

    def expired(self, now: float) -> bool:
        return self.future.done() or now >= self.deadline


class Batcher:
    """Runs requests for one function, one batch at a time.

    run: answers a padded batch; every output has the batch on axis 0. It is called in `executor`. Where an output has
    not, requests are no longer merged, padded or cut: each runs alone and whole from then on.
    observe: called in the event loop with each batch's report. name: what the log calls the function.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        policy: BatchPolicy,
        executor: Executor,
        *,
        observe: Callable[[BatchReport], None] = lambda report: None,
        name: str = "",
    ) -> None:
        self._name = name
        self._run = run
        self._policy = policy
        self._executor = executor
        self._observe = observe
        self._merges = policy.merges
        self._ruled = tuple(name for name, rule in policy.rules.items() if rule.axis is not None)
        self._queue: deque[_Job] = deque()
        self._rows = 0
        self._bytes = 0
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._rows

    async def submit(self, inputs: Arrays, deadline: float) -> Arrays:
        """Answers one request, all inputs with the same number of rows on axis 0.

        deadline: seconds on the clock of time.monotonic(). A request that is past it, or whose caller has gone,
        is dropped before it costs anything.
        Raises Overloaded, DeadlineExceeded, Unavailable, or what the model raised.
        """
        try:
            return await self._submit(inputs, deadline)
        except _NotByRows as error:
            _log.warning("%s: requests run alone from now on: %s", self._name, error.message)
        return await self._submit(inputs, deadline)

    async def _submit(self, inputs: Arrays, deadline: float) -> Arrays:
        rows = self._rows_of(inputs)
        size = self._policy.max_batch_size
        self._admit(rows, sum(array.nbytes for array in inputs.values()))
        loop = asyncio.get_running_loop()
        slices = [inputs] if rows <= size or not self._merges else _sliced(inputs, rows, size)
        jobs = [self._job(part, deadline, loop) for part in slices]
        for job in jobs:
            self._enqueue(job)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        timer = loop.call_at(loop.time() + deadline - time.monotonic(), _expire, jobs)
        try:
            answers = [await job.future for job in jobs]
        finally:
            timer.cancel()
            for job in jobs:
                job.future.cancel()
                self._dequeue(job)
        if len(answers) == 1:
            return answers[0]
        if not self._merges:  # another request has shown meanwhile that none may be cut
            raise _NotByRows("the request was cut")
        return _joined(answers)

    async def close(self, timeout: float) -> None:
        """Refuses new requests and waits for the accepted ones, `timeout` seconds at most."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait({self._worker}, timeout=timeout)
        while self._queue:
            job = self._queue.popleft()
            self._dequeue(job)
            self._fail(job, Unavailable("the model was unloaded"))

    def _admit(self, rows: int, nbytes: int) -> None:
        policy = self._policy
        if self._closed:
            raise Unavailable("the model is being unloaded")
        if rows > policy.max_enqueued_rows:
            raise InvalidInput(f"one request may have at most {policy.max_enqueued_rows} rows; received: {rows}")
        if self._rows + rows > policy.max_enqueued_rows:
            raise Overloaded(
                f"the queue holds {policy.max_enqueued_rows} rows; received: {rows} with {self._rows} waiting"
            )
        if self._bytes and self._bytes + nbytes > policy.max_enqueued_bytes:
            raise Overloaded(
                f"the queue holds {policy.max_enqueued_bytes} bytes; received: {nbytes} with {self._bytes} waiting"
            )

    def _enqueue(self, job: _Job) -> None:
        self._queue.append(job)
        self._rows += job.rows
        self._bytes += job.nbytes

    def _dequeue(self, job: _Job) -> None:
        """Gives a job's room back, once. One that nobody waits for leaves the queue itself at the next batch."""
        if job.waits:
            job.waits = False
            self._rows -= job.rows
            self._bytes -= job.nbytes

    def _rows_of(self, inputs: Arrays) -> int:
        return len(next(iter(inputs.values()))) if self._policy.merges and inputs else 1

    def _job(self, inputs: Arrays, deadline: float, loop: asyncio.AbstractEventLoop) -> _Job:
        rules = self._policy.rules
        lengths = tuple(rules[name].bucket(inputs[name].shape[rules[name].axis or 0]) for name in self._ruled)
        rest = tuple(
            array.shape[1:] if name not in self._ruled else _without(array.shape[1:], (rules[name].axis or 1) - 1)
            for name, array in inputs.items()
        )
        rows = self._rows_of(inputs)
        nbytes = sum(array.nbytes for array in inputs.values())
        first = next(iter(inputs.values()), None)
        reported = len(first) if self._policy.has_rows and first is not None and first.ndim else rows
        return _Job(inputs, rows, reported, lengths, rest, deadline, loop.create_future(), time.monotonic(), nbytes)

    async def _work(self) -> None:
        """Drains the queue batch by batch, then ends; the next arrival starts it again."""
        loop = asyncio.get_running_loop()
        try:
            while batch := self._take():
                for job in batch:
                    self._dequeue(job)
                try:
                    await self._answer(batch, loop)
                except Exception:  # those who wait must not pay for it
                    _log.exception("answering a batch failed")
                    for job in batch:
                        self._fail(job, Internal("the model failed"))
        finally:
            self._worker = None

    def _take(self) -> list[_Job]:
        """The oldest request, others of its shapes, and shorter ones where padding would stand otherwise."""
        now = time.monotonic()
        if not self._merges:
            return self._take_one(now)
        live = deque[_Job]()
        for job in self._queue:
            if job.expired(now):
                self._give_up(job)
            else:
                live.append(job)
        self._queue = live
        if not live:
            return []
        first = live[0]
        if not first.rows:
            self._queue.popleft()
            return [first]
        batch = [first]
        rows = first.rows
        for job in live:
            if job is not first and job.rows and job.lengths == first.lengths and job.rest == first.rest:
                if rows + job.rows > self._policy.max_batch_size:
                    break
                batch.append(job)
                rows += job.rows
        room = min(self._policy.padded_size(rows), self._policy.max_batch_size) - rows
        for job in live:
            if room < 1:
                break
            shorter = (
                job.rows
                and job.lengths != first.lengths
                and all(a <= b for a, b in zip(job.lengths, first.lengths, strict=True))
            )
            if shorter and job.rest == first.rest and job.rows <= room:
                batch.append(job)
                room -= job.rows
        taken = set(map(id, batch))
        self._queue = deque(job for job in live if id(job) not in taken)
        return batch

    def _take_one(self, now: float) -> list[_Job]:
        """The oldest request that still has time; a long queue of others is not looked through."""
        while self._queue:
            job = self._queue.popleft()
            if not job.expired(now):
                return [job]
            self._give_up(job)
        return []

    def _give_up(self, job: _Job) -> None:
        self._dequeue(job)
        self._fail(job, DeadlineExceeded("the deadline passed while the request waited"))

    async def _answer(self, batch: Sequence[_Job], loop: asyncio.AbstractEventLoop) -> None:
        started = time.monotonic()
        try:
            computed = await loop.run_in_executor(self._executor, self._compute, batch)
        except asyncio.CancelledError:
            for job in batch:
                self._fail(job, Unavailable("the server is stopping"))
            raise
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch[0], error)
                return
            for job in batch:  # one bad request must not take its batch mates with it
                if job.expired(time.monotonic()):
                    self._fail(job, DeadlineExceeded("the deadline passed while the request waited"))
                else:
                    await self._answer([job], loop)
            return
        for job, answer in zip(batch, computed.answers, strict=True):
            if not job.future.done():
                job.future.set_result(answer)
        self._observe(_report(batch, computed, started))

    def _compute(self, batch: Sequence[_Job]) -> _Computed:
        """Runs in the executor: merge, pad, run, split."""
        began = time.monotonic()
        rows = sum(job.rows for job in batch)
        elements = sum(array.size for job in batch for array in job.inputs.values())
        whole = not self._merges or not rows  # runs as it came
        size = rows if whole else self._policy.padded_size(rows)
        merged = {name: self._merge(name, batch, size) for name in batch[0].inputs}
        padded_elements = sum(array.size for array in merged.values())
        merging_ended = time.monotonic()
        outputs = self._run(merged)
        ran = time.monotonic()
        if whole:
            return _Computed([outputs], size, elements, padded_elements, (began, merging_ended, ran, ran))
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != size:
                self._merges = False
                raise _NotByRows(
                    f"output '{name}' must have {size} rows, one for each of the batch; "
                    f"received: shape {list(array.shape)}"
                )
        answers: list[Arrays] = []
        start = 0
        for job in batch:
            stop = start + job.rows
            answers.append({name: array[start:stop] for name, array in outputs.items()})
            start = stop
        return _Computed(answers, size, elements, padded_elements, (began, merging_ended, ran, time.monotonic()))

    def _merge(self, name: str, batch: Sequence[_Job], size: int) -> np.ndarray:
        """One input of all requests, padded in length and then in rows; without a copy where nothing is added."""
        arrays = [job.inputs[name] for job in batch]
        length = None
        if name in self._ruled:
            length = batch[0].lengths[self._ruled.index(name)]
        if length is not None:
            rule = self._policy.rules[name]
            arrays = [rule.padded(array, length) for array in arrays]
        missing = size - sum(len(array) for array in arrays) if self._policy.merges else 0
        if missing:  # a repeated row is always a valid one
            arrays.append(np.repeat(arrays[-1][-1:], missing, axis=0))
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    @staticmethod
    def _fail(job: _Job, error: Exception) -> None:
        if not job.future.done():
            job.future.set_exception(error if isinstance(error, ServingError) else Internal("the model failed"))
            job.future.exception()  # a caller that has gone never asks


def _report(batch: Sequence[_Job], computed: _Computed, started: float) -> BatchReport:
    began, merged, ran, split = computed.times
    rows = sum(job.reported for job in batch)
    return BatchReport(
        rows=rows,
        padded_rows=rows + computed.padded - sum(job.rows for job in batch),
        waits=[started - job.queued for job in batch],
        seconds=time.monotonic() - started,
        elements=computed.elements,
        padded_elements=computed.padded_elements,
        input_seconds=merged - began,
        run_seconds=ran - merged,
        output_seconds=split - ran,
        request_rows=[job.reported for job in batch],
    )


def _expire(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(DeadlineExceeded("the deadline passed before the answer was ready"))
            job.future.exception()


def _sliced(inputs: Arrays, rows: int, size: int) -> list[Arrays]:
    starts = range(0, rows, size)
    return [{name: array[start : start + size] for name, array in inputs.items()} for start in starts]


def _joined(answers: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
