"""One loaded version, ready to answer: its signatures, their batchers, and the shapes they are compiled for."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.batching import Arrays, BatchPolicy, BatchReport
from serving.batching_parameters import BatchingParameters, read_batching_parameters
from serving.compiler import Compiler
from serving.function import Function
from serving.inputs import read_rules
from serving.savedmodel import SavedModel, load, read_warmup
from serving.signature import Signature
from serving.statistics import ModelStatistics

_USUAL_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


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
        functions: Mapping[str, Function],
        executor: ThreadPoolExecutor,
        statistics: ModelStatistics,
    ) -> None:
        self.name = name
        self.version = version
        self.signatures: Mapping[str, Signature] = {key: f.program.signature for key, f in functions.items()}
        self.policies: Mapping[str, BatchPolicy] = {key: f.policy for key, f in functions.items()}
        self.statistics = statistics
        self._model = model
        self._functions = functions
        self._executor = executor

    async def infer(self, signature: str, inputs: Arrays, deadline: float) -> Arrays:
        """Checks and runs one request; raises ServingError."""
        function = self._functions[signature]
        began = time.monotonic()
        try:
            outputs = await function.infer(inputs, deadline)
        except BaseException:
            self.statistics.failed(time.monotonic() - began)
            raise
        self.statistics.succeeded(time.monotonic() - began, function.rows(inputs))
        return outputs

    @property
    def depth(self) -> int:
        """Rows that wait, over all signatures."""
        return sum(function.batcher.depth for function in self._functions.values())

    @property
    def shapes_to_compile(self) -> int:
        """Shapes that run op by op until their turn in the compiler comes."""
        return sum(function.waiting for function in self._functions.values())

    def compile_in(self, compiler: Compiler) -> None:
        """Queues every shape that is known beforehand, small batches first; none is needed to answer."""
        for function in self._functions.values():
            function.compile_in(compiler)

    async def compiled(self, compiler: Compiler) -> None:
        """Compiles every shape that is known beforehand, ahead of other versions' shapes."""
        jobs = [job for f in self._functions.values() for job in f.compile_in(compiler, urgency=0.0)]
        await asyncio.gather(*map(asyncio.wrap_future, jobs))

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
    """Loads a version directory and replays its warm-up requests. Blocks.

    Raises FailedPrecondition where the directory cannot be served, and what a warm-up request raised: such a
    version must not replace one that works.
    """
    statistics = ModelStatistics(name, version)

    def ran(report: BatchReport) -> None:
        statistics.ran(report)
        observe(report)

    rules = read_rules(path)
    parameters = read_batching_parameters(path)
    records = read_warmup(path)
    model = load(path, threads=options.threads)
    executor = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-{version}")
    try:
        if parameters is None and options.enable_batching:
            parameters = BatchingParameters(allowed_batch_sizes=_USUAL_BATCH_SIZES)
        functions = {}
        for key, program in model.programs.items():
            samples = [inputs for signature, inputs in records if signature == key]
            functions[key] = Function(program, rules, parameters, samples, executor, ran, compiles=options.compile)
        for function in functions.values():
            function.warm_up()
        return Servable(name, version, model, functions, executor, statistics)
    except BaseException:
        executor.shutdown(wait=True)
        model.close()
        raise
