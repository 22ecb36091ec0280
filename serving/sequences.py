"""Inputs that come in pieces: what a caller has sent so far of each sequence, so that every piece is answered as if
the whole so far had come at once.

The state is only the inputs, so the version that answers may change under a sequence; each step gets the one that its
request names, or the newest. Steps of one sequence are taken one at a time, in order of arrival.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from serving.errors import DeadlineExceeded, InvalidInput, Overloaded
from serving.quoting import listed, shown
from serving.servables.inputs import InputRule

Arrays = Mapping[str, np.ndarray]

MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Which sequence a request belongs to, and whether it is its first or its last."""

    id: int | str
    start: bool = False
    end: bool = False

    def __str__(self) -> str:
        return shown(str(self.id))


@dataclass(eq=False, slots=True)
class _Sequence:
    """inputs: what was answered so far; None before the first answer."""

    inputs: Arrays | None = None
    nbytes: int = 0
    used: float = 0.0
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sequences:
    """The sequences that are under way.

    max_sequences, max_bytes: what may be kept; beyond, new pieces are refused.
    idle_seconds: how long a sequence is kept after its last step.
    clock: seconds, as time.monotonic().
    """

    def __init__(
        self,
        *,
        max_sequences: int = 1024,
        idle_seconds: float = 60.0,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_sequences = max_sequences
        self._idle_seconds = idle_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._known: OrderedDict[Hashable, _Sequence] = OrderedDict()  # the one idle for longest first
        self._nbytes = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs kept."""
        return self._nbytes

    def expire(self) -> None:
        """Forgets sequences that nothing has come for in a while."""
        latest = self._clock() - self._idle_seconds
        for key, sequence in list(self._known.items()):
            if sequence.used > latest:
                break
            if not sequence.users:
                self._forget(key)

    @asynccontextmanager
    async def step(
        self,
        model: str,
        address: Hashable,
        step: SequenceStep,
        inputs: Arrays,
        rules: Mapping[str, InputRule],
        deadline: float,
    ) -> AsyncIterator[Arrays]:
        """Waits for its turn, and gives the inputs of the sequence so far with these at its end.

        address: what tells the model's sequences apart beside their ids: version, label, signature.
        rules: those inputs that have a variable axis are joined along it; of the others the last counts.
        deadline: on the clock of time.monotonic().
        What was joined is kept when the block ends well; when it raises, the sequence stays as it was before.
        Raises InvalidInput, Overloaded, DeadlineExceeded.
        """
        self.expire()
        key = (model, address, step.id)
        sequence = self._known.get(key) or self._opened(key, model, step)
        sequence.users += 1
        try:
            await _acquired(sequence.turn, deadline)
            try:
                if step.start:
                    # Whatever comes of this step, those behind it must not be joined to the sequence before.
                    self._keep(sequence, None)
                whole = self._joined(model, sequence, step, inputs, rules)
                yield whole
                self._keep(sequence, None if step.end else whole)
            finally:
                sequence.turn.release()
        finally:
            sequence.users -= 1
            sequence.used = self._clock()
            if self._known.get(key) is sequence:
                self._known.move_to_end(key)
                if sequence.inputs is None and not sequence.users:
                    self._forget(key)

    def _opened(self, key: Hashable, model: str, step: SequenceStep) -> _Sequence:
        if not step.start:
            raise _not_started(model, step)
        if len(self._known) >= self._max_sequences:
            raise Overloaded(f"expected at most {self._max_sequences} sequences under way, got one more")
        sequence = self._known[key] = _Sequence(used=self._clock())
        return sequence

    def _joined(
        self, model: str, sequence: _Sequence, step: SequenceStep, inputs: Arrays, rules: Mapping[str, InputRule]
    ) -> Arrays:
        before = sequence.inputs
        if before is None and not step.start:
            raise _not_started(model, step)
        added = _size(inputs)
        if self._nbytes + added > self._max_bytes:
            raise Overloaded(f"expected at most {self._max_bytes} bytes in sequences, got {self._nbytes + added}")
        if before is None:
            # An array may be a window on a message, which would be kept with it.
            return {name: array.copy() for name, array in inputs.items()}
        axes = {name: rule.axis for name, rule in rules.items() if rule.axis is not None}
        if unknown := inputs.keys() - before.keys():
            raise InvalidInput(f"expected the inputs {listed(before)} of sequence {step}, got {listed(unknown)}")
        for name in axes.keys() & inputs.keys():
            _check_fits(name, before[name], inputs[name], axes[name], step)
        return {
            name: array
            if name not in inputs
            else np.concatenate([array, inputs[name]], axis=axes[name])
            if name in axes
            else inputs[name].copy()
            for name, array in before.items()
        }

    def _keep(self, sequence: _Sequence, inputs: Arrays | None) -> None:
        self._nbytes -= sequence.nbytes
        sequence.inputs = inputs
        sequence.nbytes = 0 if inputs is None else _size(inputs)
        self._nbytes += sequence.nbytes

    def _forget(self, key: Hashable) -> None:
        self._nbytes -= self._known.pop(key).nbytes


def _size(inputs: Arrays) -> int:
    strings = (array for array in inputs.values() if array.dtype.kind == "O")
    return sum(array.nbytes for array in inputs.values()) + sum(len(text) for array in strings for text in array.flat)


async def _acquired(turn: asyncio.Lock, deadline: float) -> None:
    if not turn.locked():
        await turn.acquire()  # returns at once, and costs no timer
        return
    try:
        await asyncio.wait_for(turn.acquire(), deadline - time.monotonic())
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed while the request waited for those before it") from None


def _not_started(model: str, step: SequenceStep) -> InvalidInput:
    return InvalidInput(
        f"inference request for sequence {step} to model '{model}' must specify the START flag on the first request "
        f"of the sequence"
    )


def _check_fits(name: str, before: np.ndarray, piece: np.ndarray, axis: int, step: SequenceStep) -> None:
    fits = (
        piece.dtype == before.dtype
        and piece.ndim == before.ndim
        and all(a == b for i, (a, b) in enumerate(zip(piece.shape, before.shape, strict=True)) if i != axis)
    )
    if not fits:
        expected = ["?" if i == axis else size for i, size in enumerate(before.shape)]
        raise InvalidInput(
            f"input '{name}': expected {before.dtype} {expected} to go on with sequence {step}, "
            f"got {piece.dtype} {list(piece.shape)[:32]}"
        )
