"""Work-conserving batches: an idle model runs what there is at once; while it is busy, arrivals form the next batch.

Requests of like shapes are merged along axis 0, padded to compiled sizes, run together and split again. Knows no
TensorFlow and no protocol: it takes a plain callable of numpy arrays.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import cast

import numpy as np

from serving.errors import DeadlineExceeded, Internal, Unavailable
from serving.servables.deadlines import Deadlines
from serving.servables.pace import Pace
from serving.servables.policy import Arrays, BatchPolicy
from serving.servables.queue import Job, Mold, Queue, Waiter

# A lone request runs in the event loop where it takes less, after so many others in a row that were alone, too.
_BRIEF_SECONDS = 1e-3
_ALONE_BEFORE = 16
_BRIEF_ELEMENTS, _MOST_BRIEF = 65536, 256
Shapes = tuple[tuple[int, ...], ...]
_log = logging.getLogger(__name__)


class NotByRows(Internal):
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
    """A batch that has run: an answer for each job, its size and inputs' shapes, and the moments between its steps."""

    answers: Sequence[Arrays]
    padded: int
    elements: int
    padded_elements: int
    shapes: Shapes
    times: tuple[float, float, float, float]


class Batcher:
    """Runs requests for one function, one batch at a time.

    run: answers a padded batch; every output has the batch on axis 0. It is called in `executor`. Where an output has
    not, requests are no longer merged, padded or cut: each runs alone and whole from then on.
    never_waits: whether `run` only computes for inputs of these shapes. Then a request that has the model to itself, as
    those before it had, is answered in the event loop where that takes a moment: two threads take longer to wake each
    other.
    observe: called in the event loop with each batch's report. name: what the log calls the function.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        policy: BatchPolicy,
        executor: Executor,
        *,
        observe: Callable[[BatchReport], None] = lambda report: None,
        never_waits: Callable[[Shapes], bool] = lambda shapes: False,
        name: str = "",
    ) -> None:
        self._name = name
        self._run = run
        self._policy = policy
        self._executor = executor
        self._observe = observe
        self._never_waits = never_waits
        self._alone = 0  # requests in a row that had the model to themselves
        # The shapes run for requests that took a moment only, by what is the same for all that are run so.
        self._brief: dict[tuple[object, ...], Shapes] = {}
        # The variable axis of each input that has one.
        self._ruled = {name: rule.axis for name, rule in policy.rules.items() if rule.axis is not None}
        self._pace = Pace(policy)
        self._queue = Queue(policy, self._pace.worthwhile)
        self._deadlines = Deadlines()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._queue.rows

    async def submit(self, inputs: Arrays, deadline: float) -> Arrays:
        """Answers one request, all inputs with the same number of rows on axis 0.

        deadline: seconds on the clock of time.monotonic(). A request that is past it, or whose caller has gone,
        is dropped before it costs anything.
        Raises Overloaded, DeadlineExceeded, Unavailable, or what the model raised.
        """
        try:
            return await self._submit(inputs, deadline)
        except NotByRows as error:
            _log.warning("%s: requests run alone from now on: %s", self._name, error.message)
        return await self._submit(inputs, deadline)

    async def _submit(self, inputs: Arrays, deadline: float) -> Arrays:
        mold = self.mold(inputs)
        size = self._policy.max_batch_size
        if self._closed:
            raise Unavailable("the model is being unloaded")
        self._queue.admit(mold.rows, mold.nbytes)
        if mold.rows <= size or not self._queue.merges:
            return await self._answer_to(self._wait(inputs, mold, deadline))
        slices = _sliced(inputs, mold.rows, size)
        jobs = [self._wait(part, self.mold(part), deadline) for part in slices]
        try:
            answers = [await self._answer_to(job) for job in jobs]
        finally:
            for job in jobs:
                self.give_up(job)
        if not self._queue.merges:  # another request has shown meanwhile that none may be cut
            raise NotByRows("the request was cut")
        return _joined(answers)

    def begin(self, inputs: Arrays, mold: Mold, deadline: float, waiter: Waiter) -> Job:
        """Queues a request that fits a batch, of a mold that is known; what becomes of it is told to `waiter`.

        That may be NotByRows: then it is to be submitted once more. Raises Overloaded and Unavailable.
        """
        if self._closed:
            raise Unavailable("the model is being unloaded")
        self._queue.admit(mold.rows, mold.nbytes)
        return self._wait(inputs, mold, deadline, waiter)

    def _wait(self, inputs: Arrays, mold: Mold, deadline: float, waiter: Waiter | None = None) -> Job:
        """Queues a request, or a slice of one."""
        if waiter is None:
            waiter = asyncio.get_running_loop().create_future()
        job = Job(inputs, mold, mold.rows, mold.lengths, mold.rest, deadline, waiter, time.monotonic())
        self._queue.add(job)
        self._deadlines.add(job)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return job

    async def _answer_to(self, job: Job) -> Arrays:
        try:
            return await cast("asyncio.Future[Arrays]", job.waiter)
        finally:
            self.give_up(job)

    def give_up(self, job: Job) -> None:
        """Nobody waits for its answer any more, or it has one."""
        self._deadlines.remove(job)
        if job.waits:
            job.waiter.cancel()
            self._queue.release(job)

    async def close(self, timeout: float) -> None:
        """Refuses new requests and waits for the accepted ones, `timeout` seconds at most."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait({self._worker}, timeout=timeout)
        self._queue.clear(Unavailable("the model was unloaded"))

    def _rows_of(self, inputs: Arrays) -> int:
        return len(next(iter(inputs.values()))) if self._policy.merges and inputs else 1

    def mold(self, inputs: Arrays) -> Mold:
        """What batches go by of a request with these inputs."""
        lengths: tuple[int, ...] = ()
        if self._ruled:
            rules = self._policy.rules
            lengths = tuple([rules[name].bucket(inputs[name].shape[axis]) for name, axis in self._ruled.items()])
            rest = tuple(
                [
                    _without(array.shape[1:], self._ruled[name] - 1) if name in self._ruled else array.shape[1:]
                    for name, array in inputs.items()
                ]
            )
        else:
            rest = tuple([array.shape[1:] for array in inputs.values()])
        reported = rows = self._rows_of(inputs)
        if self._policy.has_rows and not self._policy.merges and inputs:
            first = next(iter(inputs.values()))
            reported = len(first) if first.ndim else rows
        arrays = inputs.values()
        nbytes, elements = sum([array.nbytes for array in arrays]), sum([array.size for array in arrays])
        return Mold(rows, reported, lengths, rest, elements, nbytes)

    async def _work(self) -> None:
        """Drains the queue batch by batch, then ends; the next arrival starts it again."""
        loop = asyncio.get_running_loop()
        try:
            while batch := self._queue.take(time.monotonic()):
                brief = self._is_brief(batch)
                try:
                    await self._answer(batch, loop, here=brief)
                except Exception:  # those who wait must not pay for it
                    _log.exception("answering a batch failed")
                    for job in batch:
                        job.fail(Internal("the model failed"))
                if brief:  # which let nobody else in meanwhile
                    await asyncio.sleep(0)
        finally:
            self._worker = None

    async def _answer(self, batch: Sequence[Job], loop: asyncio.AbstractEventLoop, *, here: bool = False) -> None:
        """here: whether to run it in the event loop."""
        started = time.monotonic()
        try:
            if here:
                computed = self._compute(batch)
            else:
                computed = await loop.run_in_executor(self._executor, self._compute, batch)
        except asyncio.CancelledError:
            for job in batch:
                job.fail(Unavailable("the server is stopping"))
            raise
        except Exception as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for job in batch:  # one bad request must not take its batch mates with it
                if job.expired(time.monotonic()):
                    job.fail(DeadlineExceeded("the deadline passed while the request waited"))
                else:
                    await self._answer([job], loop)
            return
        began, _, _, split = computed.times
        self._pace.ran(batch[0].lengths, computed.padded, split - began)
        self._deadlines.remove_all(batch)
        if len(batch) == 1:
            self._note_lone(batch[0].mold, computed, split - began)
        report = _report(batch, computed, started)
        for job, answer in zip(batch, computed.answers, strict=True):
            if not job.waiter.done():
                job.waiter.set_result(answer)
        self._observe(report)

    def _is_brief(self, batch: Sequence[Job]) -> bool:
        """Whether to run a batch here and now."""
        if len(batch) > 1 or self._queue.rows:
            self._alone = 0
            return False
        self._alone += 1
        if self._alone <= _ALONE_BEFORE or self._closed or not self._queue.merges:
            return False
        mold = batch[0].mold
        shapes = self._brief.get((mold.rows, mold.lengths, mold.rest))
        return shapes is not None and self._never_waits(shapes)

    def _note_lone(self, mold: Mold, computed: _Computed, seconds: float) -> None:
        """Notes whether such a request took a moment only when it had the model to itself."""
        key = (mold.rows, mold.lengths, mold.rest)
        if seconds >= _BRIEF_SECONDS or computed.elements > _BRIEF_ELEMENTS:
            self._brief.pop(key, None)
        else:
            if len(self._brief) >= _MOST_BRIEF:
                self._brief.clear()
            self._brief[key] = computed.shapes

    def _compute(self, batch: Sequence[Job]) -> _Computed:
        """Merge, pad, run, split; runs in the executor, but for requests that are alone."""
        began = time.monotonic()
        rows = sum(job.rows for job in batch)
        elements = sum(job.mold.elements for job in batch)
        whole = not self._queue.merges or not rows  # runs as it came
        size = rows if whole else self._policy.padded_size(rows)
        merged = {name: self._merge(name, batch, size) for name in batch[0].inputs}
        padded_elements = sum(array.size for array in merged.values())
        shapes = tuple([array.shape for array in merged.values()])
        merging_ended = time.monotonic()
        outputs = self._run(merged)
        ran = time.monotonic()
        if whole:
            return _Computed([outputs], size, elements, padded_elements, shapes, (began, merging_ended, ran, ran))
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != size:
                self._queue.merges = False
                raise NotByRows(
                    f"output '{name}' must have {size} rows, one for each of the batch; "
                    f"received: shape {list(array.shape)}"
                )
        answers: list[Arrays] = []
        start = 0
        for job in batch:
            stop = start + job.rows
            answers.append({name: array[start:stop] for name, array in outputs.items()})
            start = stop
        return _Computed(
            answers, size, elements, padded_elements, shapes, (began, merging_ended, ran, time.monotonic())
        )

    def _merge(self, name: str, batch: Sequence[Job], size: int) -> np.ndarray:
        """One input of all requests, padded in length and then in rows; without a copy where nothing is added."""
        arrays = [job.inputs[name] for job in batch]
        first = arrays[0]
        shape = list(first.shape)
        if self._policy.merges:
            shape[0] = size
        if name in self._ruled:
            shape[self._ruled[name]] = batch[0].lengths[list(self._ruled).index(name)]
        if tuple(shape) == first.shape:
            return first
        merged = np.empty(shape, first.dtype)
        rows = sum(map(len, arrays))
        alike = len({array.shape[1:] for array in arrays}) == 1
        if alike and name in self._ruled:
            np.concatenate(arrays, out=self._policy.rules[name].room(merged[:rows], first.shape[self._ruled[name]]))
        elif alike:
            np.concatenate(arrays, out=merged[:rows])
        else:
            start = 0
            for array in arrays:
                stop = start + len(array)
                self._policy.rules[name].fill(merged[start:stop], array)
                start = stop
        merged[rows:] = merged[rows - 1 : rows]  # a repeated row is always a valid one
        return merged


def _report(batch: Sequence[Job], computed: _Computed, started: float) -> BatchReport:
    began, merged, ran, split = computed.times
    rows = sum(job.mold.reported for job in batch)
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
        request_rows=[job.mold.reported for job in batch],
    )


def _sliced(inputs: Arrays, rows: int, size: int) -> list[Arrays]:
    starts = range(0, rows, size)
    return [{name: array[start : start + size] for name, array in inputs.items()} for start in starts]


def _joined(answers: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
