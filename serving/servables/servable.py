"""One loaded version, ready to answer: its signatures, their batchers, and the shapes they are compiled for."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from serving.errors import FailedPrecondition
from serving.savedmodel import SavedModel, Verdicts, WarmupRequest, load, read_warmup
from serving.servables.batching import BatchReport
from serving.servables.batching_parameters import BatchingParameters, read_batching_parameters
from serving.servables.compiler import Compiler
from serving.servables.function import Function
from serving.servables.inputs import read_rules
from serving.servables.metadata import ModelMetadata
from serving.servables.policy import Arrays, BatchPolicy
from serving.servables.statistics import ModelStatistics
from serving.signature import Signature

_USUAL_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How versions are loaded.

    threads: processor threads for one call; 0 for one per core.
    compile: whether graphs are compiled with XLA.
    enable_batching: whether models without batching parameters of their own are batched too.
    batching: how these are batched; None for the usual sizes.
    warm_up: whether warm-up requests are replayed; iterations: how often each.
    tags: of the graph to load. calls: operations of one call that may run at once; 0 leaves it to the server.
    gpu_memory_fraction: of a graphics card's memory, what may be taken; 0 takes what is needed, as it is needed.
    faster: keys of compilations that were found to gain, kept from start to start.
    claim: a compilation that another process is at already waits until it can be read from XLA's cache.
    """

    threads: int = 0
    compile: bool = True
    enable_batching: bool = False
    batching: BatchingParameters | None = None
    warm_up: bool = True
    iterations: int = 1
    tags: tuple[str, ...] = ("serve",)
    calls: int = 0
    gpu_memory_fraction: float = 0.0
    faster: Verdicts = field(default_factory=set[str])
    claim: Callable[[str], AbstractContextManager[bool]] = lambda what: nullcontext(True)


class Servable:
    """A version of a model. Made by `load_servable`; `close` gives its memory back.

    refusals: why signatures that it has cannot be served, by name. definitions: every SignatureDef, serialised.
    """

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
        self.refusals = model.signatures.refusals
        self.definitions = model.signatures.definitions
        self.metadata = ModelMetadata(name, version, self.signatures, self.policies, self.refusals, self.definitions)
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

    def function(self, signature: str) -> Function:
        """What answers for one of its signatures."""
        return self._functions[signature]

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
    warmed: Callable[[bool, float], None] = lambda succeeded, seconds: None,
) -> Servable:
    """Loads a version directory and replays its warm-up requests. Blocks.

    observe: called with each batch's report. warmed: called with success and seconds where there are such requests.

    Raises FailedPrecondition where the directory cannot be served, and what a warm-up request raised: such a
    version must not replace one that works.
    """
    statistics = ModelStatistics(name, version)

    def ran(report: BatchReport) -> None:
        statistics.ran(report)
        observe(report)

    rules = read_rules(path)
    parameters = read_batching_parameters(path)
    if parameters is None and options.enable_batching:
        parameters = options.batching or BatchingParameters(allowed_batch_sizes=_USUAL_BATCH_SIZES)
    requests = read_warmup(path) if options.warm_up else []
    model = load(
        path,
        threads=options.threads,
        calls=options.calls,
        tags=options.tags,
        gpu_memory_fraction=options.gpu_memory_fraction,
        model=f"version {version} of {name}",
    )
    executor = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-{version}")
    try:
        records = _by_signature(requests, model)
        functions = {
            key: Function(
                program,
                rules,
                parameters,
                records[key],
                executor,
                ran,
                compiles=options.compile,
                faster=options.faster,
                claim=options.claim,
            )
            for key, program in model.programs.items()
        }
        began = time.monotonic()
        warm = False
        try:
            for _ in range(max(1, options.iterations)):
                for function in functions.values():
                    function.warm_up()
            warm = True
        finally:
            if requests:
                warmed(warm, time.monotonic() - began)
        return Servable(name, version, model, functions, executor, statistics)
    except BaseException:
        executor.shutdown(wait=True)
        model.close()
        raise


def _by_signature(requests: Sequence[WarmupRequest], model: SavedModel) -> Mapping[str, Sequence[Arrays]]:
    """The warm-up requests of each signature; raises FailedPrecondition for one that no signature could answer."""
    records: dict[str, list[Arrays]] = {key: [] for key in model.programs}
    for request in requests:
        if request.signature not in records:
            reason = model.signatures.refusals.get(request.signature, "it has no such signature")
            raise FailedPrecondition(f"a warm-up request asks for the signature '{request.signature}': {reason}")
        method = model.programs[request.signature].signature.method_name
        if request.method not in ("", method):
            raise FailedPrecondition(
                f"a warm-up request expects the signature '{request.signature}' to have the method "
                f"{request.method}; received: {method}"
            )
        records[request.signature].append(request.inputs)
    return records
