"""One signature of a servable: its checks, its batcher and its compiled shapes."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np

from serving.errors import InvalidInput
from serving.quoting import listed, shown
from serving.savedmodel import Program, Verdicts
from serving.servables.batching import Batcher, BatchReport
from serving.servables.batching_parameters import BatchingParameters
from serving.servables.compiler import Compiler, NotNow
from serving.servables.inputs import InputRule, check_input
from serving.servables.policy import Arrays, BatchPolicy
from serving.servables.queue import Job, Mold, Waiter
from serving.servables.samples import Samples
from serving.signature import TensorSpec

# Shapes compiled because a request came with them; beyond, they run uncompiled, so that no caller can fill memory.
_MOST_DISCOVERED_SHAPES = 64
_LEAST_URGENT = 1e9
# Looking through so many values would hold up the event loop.
_LARGE_BYTES = 4 << 20


class Function:
    """Answers for one signature.

    rules: what the inputs may be and how they may be padded.
    parameters: how requests are batched; None for a signature whose requests run alone.
    records: warm-up requests, which also serve as samples to compile with.
    compiles: whether shapes are compiled with XLA.
    faster: keys of compilations that were found to gain, to which this one adds.
    claim: entered around a compilation with what is compiled; False where another process is at it, whose work
    can be read from XLA's cache afterwards.
    """

    def __init__(
        self,
        program: Program,
        rules: Mapping[str, InputRule],
        parameters: BatchingParameters | None,
        records: Sequence[Arrays],
        executor: Executor,
        observe: Callable[[BatchReport], None],
        *,
        compiles: bool,
        faster: Verdicts | None = None,
        claim: Callable[[str], AbstractContextManager[bool]] = lambda what: nullcontext(True),
    ) -> None:
        self.program = program
        self._faster = faster
        self._claim = claim
        signature = program.signature
        self._rules = {name: rule for name, rule in rules.items() if name in signature.inputs}
        for name, rule in self._rules.items():
            rule.check_against(signature.inputs[name])
        self._compiles = compiles
        self._compiler: Compiler | None = None
        self._jobs: list[Future[None]] = []
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._most_known = _MOST_DISCOVERED_SHAPES
        self._compiling = threading.Lock()
        self._retired = False
        inputs, outputs = signature.inputs.values(), signature.outputs.values()
        self._has_rows = bool(inputs) and all(map(_has_free_rows, inputs))
        # An output of unknown rank may have rows; where it has not, the batcher will find out.
        rowwise = all(spec.shape is None or _has_free_rows(spec) for spec in outputs)
        self._batched = parameters is not None and self._has_rows and rowwise
        asked = parameters or BatchingParameters()
        self._sizes = asked.allowed_batch_sizes if self._batched else ()
        self.policy = BatchPolicy(
            max_batch_size=asked.max_batch_size,
            allowed_batch_sizes=self._sizes,
            max_enqueued_rows=asked.max_batch_size * asked.max_enqueued_batches,
            rules=self._rules,
            merges=self._batched,
            has_rows=self._has_rows,
        )
        self.batcher = Batcher(
            self._run,
            self.policy,
            executor,
            observe=observe,
            never_waits=program.only_computes,
            name=program.called,
        )
        self._records = [self._checked(record) for record in records]
        with_rows = [record for record in self._records if not self._has_rows or self.rows(record)]
        self._samples = Samples(signature, self._rules, with_rows, has_rows=self._has_rows)

    def infer(self, inputs: Arrays, deadline: float) -> Awaitable[Arrays]:
        """Checks the inputs against the signature and the rules, then queues them."""
        if self._rules and sum([array.nbytes for array in inputs.values()]) > _LARGE_BYTES:
            return self._infer_large(inputs, deadline)
        return self.batcher.submit(self._checked(inputs), deadline)

    def mold(self, inputs: Arrays) -> Mold | None:
        """Checks inputs as `infer` does; what others of their types and shapes have in common with them.

        None where such requests need more than one batch, or inputs other than these.
        """
        checked = self._checked(inputs)
        mold = self.batcher.mold(checked)
        fits = 0 < mold.rows <= self.policy.max_batch_size and mold.nbytes <= _LARGE_BYTES
        return mold if fits and checked.keys() == inputs.keys() else None

    def begin(self, inputs: Arrays, mold: Mold, deadline: float, waiter: Waiter) -> Job:
        """Queues a request of a known mold, whose values alone are looked at; raises as `infer` does."""
        for name, rule in self._rules.items():
            rule.check_values(name, inputs[name])
        if len(inputs) > 1:
            inputs = {name: inputs[name] for name in self.program.signature.inputs}
        return self.batcher.begin(inputs, mold, deadline, waiter)

    async def _infer_large(self, inputs: Arrays, deadline: float) -> Arrays:
        return await self.batcher.submit(await asyncio.to_thread(self._checked, inputs), deadline)

    def rows(self, inputs: Arrays) -> int:
        """How many inferences a request asks for: its rows, where this signature has a batch axis."""
        if not self._has_rows or not inputs:
            return 1
        first = next(iter(inputs.values()))
        return len(first) if first.ndim else 1

    def _checked(self, inputs: Arrays) -> Arrays:
        specs = self.program.signature.inputs
        if inputs.keys() != specs.keys():
            inputs = self._completed(inputs)
        ordered: dict[str, np.ndarray] = {}
        for name, spec in specs.items():
            array = inputs[name]
            if array.dtype.kind in "SU":
                array = _as_objects(array)
            check_input(spec, array)
            ordered[name] = array
        if self._has_rows and (self._rules or self._batched):
            self._check_rows(ordered)
        for name, rule in self._rules.items():
            rule.check(name, ordered[name])
        return ordered

    def _check_rows(self, inputs: Arrays) -> None:
        counts = set()
        for array in inputs.values():
            if not array.ndim:
                raise InvalidInput("Batching session Run() input tensors must have at least one dimension.")
            counts.add(len(array))
        if len(counts) > 1:
            rows = {name: len(array) for name, array in inputs.items()}
            raise InvalidInput(f"all inputs must have the same number of rows; received: {rows}")
        if self._rules and 0 in counts:
            raise InvalidInput("a batch must have at least one row; received: none")

    def _completed(self, inputs: Arrays) -> Arrays:
        """The inputs with the model's own values for those left out; says the rest as TF Serving does."""
        specs = self.program.signature.inputs
        extra = inputs.keys() - specs.keys()
        missing = specs.keys() - inputs.keys() - self.program.defaults.keys()
        if extra and len(inputs) == len(specs):
            raise InvalidInput(
                f"input tensor alias not found in signature: {shown(min(extra))}. "
                f"Inputs expected to be in the set {listed(specs)}."
            )
        if extra or missing:
            raise InvalidInput(
                f"input size does not match signature: {len(inputs)}!={len(specs)} "
                f"len({listed(inputs)}) != len({listed(specs)}). "
                f"Sent extra: {listed(extra)}. Missing but required: {listed(missing)}."
            )
        return {**self.program.defaults, **inputs}

    def _run(self, inputs: Arrays) -> Arrays:
        answers = self.program(inputs)
        if self._compiler is not None and self.rows(inputs) and not self.program.is_ready(inputs):
            self._discover(inputs)
        return answers

    @property
    def waiting(self) -> int:
        """Shapes whose turn in the compiler has not come, or not ended."""
        return sum(not job.done() for job in self._jobs)

    def warm_up(self) -> None:
        """Replays the warm-up requests as they are, and in batches of every size; raises what they raise."""
        for record in self._records:
            self.program(record)
        if self._records:
            for size in self._sizes:
                for sample in self._samples.of(size):
                    self.program(sample)

    def compile_in(self, compiler: Compiler, urgency: float | None = None) -> list["Future[None]"]:
        """Queues the shapes that are known beforehand; by default the smaller batches are the more urgent."""
        sizes = self._sizes or (1,)
        if self._compiles:
            self._compiler = compiler
        else:
            sizes = sizes[:1]
        for size in sizes:
            for sample in self._samples.of(size):
                self._known.add(_shapes(sample))
                job = partial(self._compile, sample)
                self._jobs.append(compiler.submit(job, urgency=float(size) if urgency is None else urgency))
        self._most_known = len(self._known) + _MOST_DISCOVERED_SHAPES
        return self._jobs

    def retire(self) -> None:
        """Returns when nothing is being compiled, and lets nothing more be."""
        self._retired = True
        with self._compiling:
            pass

    def _compile(self, sample: Arrays) -> None:
        with self._compiling, self._claim(f"{self.program.called} {_shapes(sample)}") as mine:
            if self._retired:
                return
            if self._compiles and not mine:
                raise NotNow
            if not (self._compiles and self.program.compile(sample, faster=self._faster)):
                self.program.prepare(sample)

    def _discover(self, inputs: Arrays) -> None:
        shapes = _shapes(inputs)
        if self._compiler is not None and shapes not in self._known and len(self._known) < self._most_known:
            self._known.add(shapes)
            self._jobs.append(self._compiler.submit(partial(self._compile, inputs), urgency=_LEAST_URGENT))


def _shapes(inputs: Arrays) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in inputs.values())


def _has_free_rows(spec: TensorSpec) -> bool:
    return spec.shape is not None and spec.shape[:1] == (None,)


def _as_objects(array: np.ndarray) -> np.ndarray:
    """Strings as the object arrays of bytes that they are everywhere else."""
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    return array.astype(object) if array.dtype.kind == "S" else array
