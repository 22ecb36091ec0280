"""The requests that wait for one function, and which of them make the next batch."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from serving.errors import DeadlineExceeded, Internal, InvalidInput, Overloaded, ServingError
from serving.servables.policy import Arrays, BatchPolicy


class Waiter(Protocol):
    """Who gets an answer, or the error in its place; as far as that goes, an asyncio.Future is one.

    done: whether it has got one, or wants none any more; cancel: it wants none from now on.
    """

    def done(self) -> bool: ...

    def set_result(self, result: Arrays, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...

    def exception(self) -> BaseException | None: ...

    def cancel(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Mold:
    """What a batch goes by: the same for all requests with inputs of the same names, types and shapes.

    rows: as far as batches go; one where nothing is merged. reported: those that it brought.
    lengths: the bucket of each ruled input. rest: every other axis; jobs of one batch have the same.
    elements, nbytes: of all inputs together.
    """

    rows: int
    reported: int
    lengths: tuple[int, ...]
    rest: tuple[tuple[int, ...], ...]
    elements: int
    nbytes: int


@dataclass(eq=False, slots=True)
class Job:
    """A request, or a slice of one that is larger than a batch.

    rows, lengths, rest: its mold's. deadline, queued: on the clock of time.monotonic().
    waits: whether it takes room in the queue.
    """

    inputs: Arrays
    mold: Mold
    rows: int
    lengths: tuple[int, ...]
    rest: tuple[tuple[int, ...], ...]
    deadline: float
    waiter: Waiter
    queued: float
    waits: bool = True

    def expired(self, now: float) -> bool:
        """Whether nobody wants its answer any more."""
        return now >= self.deadline or self.waiter.done()

    def fail(self, error: Exception) -> None:
        if not self.waiter.done():
            self.waiter.set_exception(error if isinstance(error, ServingError) else Internal("the model failed"))
            self.waiter.exception()  # a caller that has gone never asks


class Queue:
    """Waiting jobs, the oldest first, bounded in rows and bytes.

    merges: whether jobs may share a batch; begins as the policy says.
    worthwhile: of so many rows that wait with these lengths, how many to run now.
    """

    def __init__(
        self, policy: BatchPolicy, worthwhile: Callable[[tuple[int, ...], int], int] = lambda lengths, rows: rows
    ) -> None:
        self._worthwhile = worthwhile
        self.merges = policy.merges
        self._policy = policy
        self._jobs: deque[Job] = deque()
        self._rows = 0
        self._bytes = 0

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def admit(self, rows: int, nbytes: int) -> None:
        """Raises Overloaded where there is no room for so much now, InvalidInput where there never is."""
        policy = self._policy
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

    def add(self, job: Job) -> None:
        self._jobs.append(job)
        self._rows += job.rows
        self._bytes += job.mold.nbytes

    def release(self, job: Job) -> None:
        """Gives a job's room back, once. One that nobody waits for leaves the queue itself at the next batch."""
        if job.waits:
            job.waits = False
            self._rows -= job.rows
            self._bytes -= job.mold.nbytes

    def clear(self, error: Exception) -> None:
        """Fails everything that waits."""
        while self._jobs:
            job = self._jobs.popleft()
            self.release(job)
            job.fail(error)

    def take(self, now: float) -> list[Job]:
        """The next batch: the oldest job, others of its shapes, and shorter ones where padding would stand otherwise.

        What has expired at `now` fails; an empty batch means that nothing waits.
        """
        batch = self._merged(now) if self.merges else self._single(now)
        for job in batch:
            self.release(job)
        return batch

    def _single(self, now: float) -> list[Job]:
        """The oldest job that still has time; a long queue of others is not looked through."""
        while self._jobs:
            job = self._jobs.popleft()
            if not job.expired(now):
                return [job]
            self._give_up(job)
        return []

    def _merged(self, now: float) -> list[Job]:
        live = deque[Job]()
        for job in self._jobs:
            if job.expired(now):
                self._give_up(job)
            else:
                live.append(job)
        self._jobs = live
        if not live:
            return []
        first = live[0]
        if not first.rows:
            live.popleft()
            return [first]
        batch = self._alike(first)
        batch += self._shorter(first, self._room_beside(batch))
        if len(batch) == len(live):
            live.clear()
        else:
            taken = set(map(id, batch))
            self._jobs = deque(job for job in live if id(job) not in taken)
        return batch

    def _alike(self, first: Job) -> list[Job]:
        """The jobs of its shapes, in order, as far as a batch holds them."""
        batch: list[Job] = []
        rows = 0
        for job in self._jobs:
            if job.rows and job.lengths == first.lengths and job.rest == first.rest:
                if batch and rows + job.rows > self._policy.max_batch_size:
                    break
                batch.append(job)
                rows += job.rows
        most = self._worthwhile(first.lengths, rows)
        while rows > most and len(batch) > 1:
            rows -= batch.pop().rows
        return batch

    def _room_beside(self, batch: list[Job]) -> int:
        """Rows that would be padding."""
        rows = sum([job.rows for job in batch])
        return min(self._policy.padded_size(rows), self._policy.max_batch_size) - rows

    def _shorter(self, first: Job, room: int) -> list[Job]:
        found: list[Job] = []
        for job in self._jobs:
            if room < 1:
                break
            fits = (
                job.rows
                and job.rows <= room
                and job.lengths != first.lengths
                and job.rest == first.rest
                and all(mine <= other for mine, other in zip(job.lengths, first.lengths, strict=True))
            )
            if fits:
                found.append(job)
                room -= job.rows
        return found

    def _give_up(self, job: Job) -> None:
        self.release(job)
        job.fail(DeadlineExceeded("the deadline passed while the request waited"))
