"""One signature of a servable: its checks, its batcher and its compiled shapes."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from itertools import product

import numpy as np

from serving.batching import Arrays, Batcher, BatchPolicy, BatchReport
from serving.batching_parameters import BatchingParameters
from serving.compiler import Compiler
from serving.errors import InvalidInput
from serving.inputs import InputRule, check_input
from serving.savedmodel import Program
from serving.signature import Signature, TensorSpec

# Shapes compiled because a request came with them; beyond, they run uncompiled, so that no caller can fill memory.
_MOST_DISCOVERED_SHAPES = 64
_LEAST_URGENT = 1e9


class Function:
    """Answers for one signature.

    rules: what the inputs may be and how they may be padded.
    parameters: how requests are batched; None for a signature whose requests run alone.
    records: warm-up requests, which also serve as samples to compile with.
    compiles: whether shapes are compiled with XLA.
    """

    def __init__(
        self,
        program: Program,
        rules: Mapping[str, InputRule],
        parameters: BatchingParameters | None,
        records: list[dict[str, np.ndarray]],
        executor: Executor,
        observe: Callable[[BatchReport], None],
        *,
        compiles: bool,
    ) -> None:
        self.program = program
        signature = program.signature
        self._rules = {name: rule for name, rule in rules.items() if name in signature.inputs}
        for name, rule in self._rules.items():
            rule.check_against(signature.inputs[name])
        self._records = records
        self._compiles = compiles
        self._compiler: Compiler | None = None
        self._jobs: list[Future[None]] = []
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._most_known = _MOST_DISCOVERED_SHAPES
        self._compiling = threading.Lock()
        self._retired = False
        self._has_rows = _has_free_rows([*signature.inputs.values()])
        self._batched = parameters is not None and self._has_rows and _has_free_rows([*signature.outputs.values()])
        asked = parameters or BatchingParameters()
        self._sizes = asked.allowed_batch_sizes if self._batched else ()
        self.policy = BatchPolicy(
            max_batch_size=asked.max_batch_size,
            allowed_batch_sizes=self._sizes,
            max_enqueued_rows=asked.max_batch_size * asked.max_enqueued_batches,
            rules=self._rules,
            merges=self._batched,
        )
        self.batcher = Batcher(self._run, self.policy, executor, observe=observe)

    async def infer(self, inputs: Arrays, deadline: float) -> Arrays:
        """Checks the inputs against the signature and the rules, then queues them."""
        return await self.batcher.submit(self._checked(inputs), deadline)

    def rows(self, inputs: Arrays) -> int:
        """How many inferences a request asks for: its rows, where this signature has a batch axis."""
        return len(next(iter(inputs.values()))) if self._has_rows else 1

    def _checked(self, inputs: Arrays) -> Arrays:
        specs = self.program.signature.inputs
        if inputs.keys() != specs.keys():
            raise InvalidInput(
                f"signature '{self.program.signature.name}' takes the inputs {sorted(specs)}; "
                f"received: {sorted(inputs)}"
            )
        ordered = {name: inputs[name] for name in specs}
        for name, spec in specs.items():
            check_input(spec, ordered[name])
        if self._has_rows:
            rows = {name: len(array) for name, array in ordered.items()}
            if len(set(rows.values())) > 1:
                raise InvalidInput(f"all inputs must have the same number of rows; received: {rows}")
            if not all(rows.values()):
                raise InvalidInput("a batch must have at least one row; received: none")
        for name, rule in self._rules.items():
            rule.check(name, ordered[name])
        return ordered

    def _run(self, inputs: Arrays) -> Arrays:
        answers = self.program(inputs)
        if self._compiler is not None and not self.program.is_ready(inputs):
            self._discover(inputs)
        return answers

    @property
    def waiting(self) -> int:
        """Shapes whose turn in the compiler has not come, or not ended."""
        return sum(not job.done() for job in self._jobs)

    def warm_up(self) -> None:
        """Replays the warm-up requests; raises what they raise."""
        for record in self._records:
            self.program(record)

    def compile_in(self, compiler: Compiler, urgency: float | None = None) -> list["Future[None]"]:
        """Queues the shapes that are known beforehand; by default the smaller batches are the more urgent."""
        if not self._compiles:
            return []
        self._compiler = compiler
        for size in self._sizes or (1,):
            for sample in self._samples(size):
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
        with self._compiling:
            if not self._retired:
                self.program.compile(sample)

    def _discover(self, inputs: Arrays) -> None:
        shapes = _shapes(inputs)
        if self._compiler is not None and shapes not in self._known and len(self._known) < self._most_known:
            self._known.add(shapes)
            self._jobs.append(self._compiler.submit(partial(self._compile, inputs), urgency=_LEAST_URGENT))

    def _samples(self, size: int) -> Iterator[Arrays]:
        """Batches of `size` rows in every bucket, made of a recorded request where there is one."""
        signature = self.program.signature
        base = self._records[0] if self._records else _zeros(signature, self._rules)
        if base is None:
            return
        ruled = [(name, rule) for name, rule in self._rules.items() if rule.axis is not None]
        for lengths in product(*(rule.buckets for _, rule in ruled)):
            sample = {
                name: np.resize(base[name], (size, *base[name].shape[1:])) if self._has_rows else base[name]
                for name in signature.inputs
            }
            for (name, rule), length in zip(ruled, lengths, strict=True):
                sample[name] = rule.fitted(sample[name], length)
            yield sample


def _shapes(inputs: Arrays) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in inputs.values())


def _has_free_rows(specs: list[TensorSpec]) -> bool:
    return bool(specs) and all(spec.shape is not None and spec.shape[:1] == (None,) for spec in specs)


def _zeros(signature: Signature, rules: Mapping[str, InputRule]) -> dict[str, np.ndarray] | None:
    """One row of zeros for each input; None where a shape leaves open what to make."""
    arrays = {}
    for name, spec in signature.inputs.items():
        if spec.shape is None or spec.dtype == "string":
            return None
        shape = [1, *spec.shape[1:]] if spec.shape[:1] == (None,) else [*spec.shape]
        rule = rules.get(name)
        if rule is not None and rule.axis is not None and rule.axis < len(shape):
            shape[rule.axis] = rule.buckets[0]
        sizes = [axis for axis in shape if axis is not None]
        if len(sizes) < len(shape):
            return None
        try:
            arrays[name] = np.zeros(sizes, np.dtype(spec.dtype))
        except TypeError:  # bfloat16 and its like have no numpy type of that name
            return None
    return arrays
