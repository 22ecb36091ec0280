"""One loaded version, ready to answer: its signatures, their batchers, and the shapes they are compiled for."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from serving.batching import Arrays, Batcher, BatchPolicy, BatchReport
from serving.batching_parameters import BatchingParameters, read_batching_parameters
from serving.errors import InvalidInput
from serving.inputs import InputRule, check_input, read_rules
from serving.savedmodel import Program, SavedModel, load, read_warmup
from serving.signature import Signature, TensorSpec

_log = logging.getLogger(__name__)
# Shapes compiled because a request came with them; beyond, they run uncompiled, so that no caller can fill memory.
_MOST_DISCOVERED_SHAPES = 64


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How versions are loaded.

    threads: processor threads for one call; 0 for one per core.
    compile: whether graphs are compiled with XLA.
    enable_batching: whether models without batching parameters of their own are batched too.
    """

    threads: int = 0
    compile: bool = True
    enable_batching: bool = False


class Servable:
    """A version of a model. Made by `load_servable`; `close` gives its memory back."""

    def __init__(
        self,
        name: str,
        version: int,
        model: SavedModel,
        functions: Mapping[str, "_Function"],
        executor: ThreadPoolExecutor,
    ) -> None:
        self.name = name
        self.version = version
        self.signatures: Mapping[str, Signature] = {key: f.program.signature for key, f in functions.items()}
        self._model = model
        self._functions = functions
        self._executor = executor

    async def infer(self, signature: str, inputs: Arrays, deadline: float) -> Arrays:
        """Checks and runs one request; raises ServingError."""
        return await self._functions[signature].infer(inputs, deadline)

    @property
    def depth(self) -> int:
        """Rows that wait, over all signatures."""
        return sum(function.batcher.depth for function in self._functions.values())

    def compile_in(self, compiler: Executor) -> None:
        """Queues the compilation of every shape that is not compiled yet."""
        for function in self._functions.values():
            function.compile_in(compiler)

    async def close(self, timeout: float) -> None:
        """Answers what was accepted, `timeout` seconds at most, then gives the memory back."""
        async with asyncio.TaskGroup() as group:
            for function in self._functions.values():
                group.create_task(function.batcher.close(timeout))
        await asyncio.get_running_loop().run_in_executor(None, self._release)

    def _release(self) -> None:
        for function in self._functions.values():
            function.retire()
        self._executor.shutdown(wait=True)
        self._model.close()


def load_servable(
    name: str,
    version: int,
    path: Path,
    options: LoadOptions,
    observe: Callable[[BatchReport], None] = lambda report: None,
) -> Servable:
    """Loads a version directory and compiles the shapes that a first request is likely to have. Blocks.

    Raises FailedPrecondition where the directory cannot be served.
    """
    rules = read_rules(path)
    parameters = read_batching_parameters(path)
    records = read_warmup(path)
    model = load(path, threads=options.threads)
    executor = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-{version}")
    try:
        if parameters is None and options.enable_batching:
            parameters = BatchingParameters(allowed_batch_sizes=(1, 2, 4, 8, 16, 32, 64))
        functions = {}
        for key, program in model.programs.items():
            samples = [inputs for signature, inputs in records if signature == key]
            functions[key] = _Function(program, rules, parameters, samples, executor, observe, compiles=options.compile)
        for function in functions.values():
            function.warm_up()
        return Servable(name, version, model, functions, executor)
    except BaseException:
        executor.shutdown(wait=True)
        model.close()
        raise


class _Function:
    """One signature: its checks, its batcher and its compiled shapes."""

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
        self._records = records
        self._compiles = compiles
        self._compiler: Executor | None = None
        self._queued: set[tuple[tuple[int, ...], ...]] = set()
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

    def warm_up(self) -> None:
        """Replays the warm-up requests, and compiles for a batch of one at every length.

        Raises ServingError where a recorded request fails: such a version must not replace one that works.
        """
        for record in self._records:
            self.program(record)
        if self._compiles:
            for sample in self._samples(self._sizes[:1] or (1,)):
                self.program.compile(sample)

    def compile_in(self, compiler: Executor) -> None:
        if not self._compiles:
            return
        self._compiler = compiler
        for sample in self._samples(self._sizes[1:]):
            compiler.submit(self._compile, sample)

    def retire(self) -> None:
        """Returns when nothing is being compiled, and lets nothing more be."""
        self._retired = True
        with self._compiling:
            pass

    def _compile(self, sample: Arrays) -> None:
        with self._compiling:
            if not self._retired:
                try:
                    self.program.compile(sample)
                except Exception:  # an executor keeps silent about what nobody asks for
                    _log.exception("compiling signature %s failed", self.program.signature.name)

    def _discover(self, inputs: Arrays) -> None:
        shapes = tuple(array.shape for array in inputs.values())
        room = len(self._queued) < _MOST_DISCOVERED_SHAPES
        if self._compiler is not None and room and shapes not in self._queued:
            self._queued.add(shapes)
            self._compiler.submit(self._compile, inputs)

    def _samples(self, sizes: tuple[int, ...]) -> Iterator[Arrays]:
        """Batches of every given size and every bucket, made of a recorded request where there is one."""
        signature = self.program.signature
        base = self._records[0] if self._records else _zeros(signature, self._rules)
        if base is None:
            return
        ruled = [(name, rule) for name, rule in self._rules.items() if rule.axis is not None]
        for size in sizes:
            for lengths in product(*(rule.buckets for _, rule in ruled)):
                sample = {
                    name: np.resize(base[name], (size, *base[name].shape[1:])) if self._has_rows else base[name]
                    for name in signature.inputs
                }
                for (name, rule), length in zip(ruled, lengths, strict=True):
                    sample[name] = rule.fitted(sample[name], length)
                yield sample


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
