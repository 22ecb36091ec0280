"""One signature of a loaded SavedModel as a function of numpy arrays, compiled where that pays."""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.errors import Internal, InvalidInput, ServingError
from serving.savedmodel.partition import Unsplittable, add_twin, refuse_effects
from serving.signature import Signature
from serving.threads import with_low_priority

_log = logging.getLogger(__name__)
_REFUSED_OP = re.compile(r"No registered '(\w+)' OpKernel for XLA")
_NODE_LINE = re.compile(r"^Node: .*\n", re.MULTILINE)
_MOST_REFUSALS = 8
_LEAST_RUNS, _MOST_RUNS = 3, 12
_TIE = 1.1  # so far apart are runs of the same code on a machine that loads models
_MOST_INHERITED_SHAPES = 256

Arrays = Mapping[str, np.ndarray]
Shapes = tuple[tuple[int, ...], ...]
_Callable = Callable[..., Sequence[np.ndarray]]


class Verdicts(Protocol):
    """Keys of what was found to gain by being compiled."""

    def __contains__(self, key: object, /) -> bool: ...

    def add(self, key: str, /) -> None: ...


class Program:
    """Runs one signature. Shapes that `compile` has prepared run compiled, all others run op by op.

    defaults: values for inputs that a request leaves out.
    model: what the log calls the model.
    Thread-safe: calls may overlap with each other and with `compile`.
    """

    def __init__(
        self,
        session: tf.compat.v1.Session,
        signature: Signature,
        feeds: Mapping[str, tf.Tensor],
        fetches: Mapping[str, tf.Tensor],
        defaults: Arrays = MappingProxyType({}),
        model: str = "",
    ) -> None:
        self.signature = signature
        self.defaults = defaults
        self.called = _called(model, signature)
        self._session = session
        sources = {tensor.ref(): name for name, tensor in feeds.items()}
        self._names = tuple(signature.inputs)
        self._feeds = [feeds[name] for name in self._names]
        # A session does not fetch what it is fed.
        self._passed = {name: sources[tensor.ref()] for name, tensor in fetches.items() if tensor.ref() in sources}
        self._outputs = tuple(name for name in signature.outputs if name not in self._passed)
        self._fetches = [fetches[name] for name in self._outputs]
        self._plain: _Callable = session.make_callable(self._fetches, feed_list=self._feeds)
        # Sessions refuse to be fed what they would not compute, unless called in this way.
        self._lenient: _Callable | None = None
        if any(spec.computed for spec in signature.inputs.values()):
            self._lenient = session._make_callable_from_options(self._options(self._fetches))
        self._compiled: _Callable | None = None
        self._key = ""  # of what is compiled
        self._compilable = True
        self._has_run = False
        self._host_ops: set[str] = set()
        self._agreed = False  # one shape is enough to find a graph that XLA gets wrong
        self._inherited: set[Shapes] = set()  # compilation paid with other weights
        self._settled: set[Shapes] = set()  # compilation was tried
        self._ready: set[Shapes] = set()  # and paid

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Answers one batch; raises InvalidInput or Internal with the model's own words."""
        arguments = [inputs[name] for name in self._names]
        run = self._plain
        if self._lenient is not None and not self._fit(inputs):
            run = self._lenient
        elif self._compiled is not None and tuple(array.shape for array in arguments) in self._ready:
            run = self._compiled
        try:
            answers = run(*arguments)
        except tf.errors.OpError as error:
            raise _translated(error) from error
        outputs = dict(zip(self._outputs, answers, strict=True))
        outputs.update((name, inputs[source]) for name, source in self._passed.items())
        return outputs

    def renew(self, model: str) -> None:
        """Begins anew with other weights, of what the log is to call `model`; only what XLA compiled is still there."""
        self.called = _called(model, self.signature)
        self._inherited |= self._ready
        self._settled, self._ready = set(), set()
        self._agreed, self._compilable = False, True

    @property
    def has_seen_much(self) -> bool:
        """Whether so many shapes were compiled that no further model should inherit them."""
        return len(self._settled | self._inherited) > _MOST_INHERITED_SHAPES

    def only_computes(self, shapes: Shapes) -> bool:
        """Whether inputs of these shapes run compiled as a whole, so that nothing in it can wait for anything."""
        return self._compiled is not None and not self._host_ops and shapes in self._ready

    def is_ready(self, inputs: Arrays) -> bool:
        """Whether these shapes run compiled, or never will."""
        return (
            not self._compilable
            or not self._fit(inputs)
            or tuple(inputs[name].shape for name in self._names) in self._settled
        )

    def _fit(self, inputs: Arrays) -> bool:
        return all(spec.fits(inputs[name].shape) for name, spec in self.signature.inputs.items())

    def prepare(self, sample: Arrays) -> None:
        """Runs the plain graph once, unless that would leave traces: a session's first run takes much longer."""
        if self._has_run:
            return
        self._has_run = True
        try:
            refuse_effects(self._session.graph, self._fetches)
            self._plain(*(sample[name] for name in self._names))
        except (Unsplittable, tf.errors.OpError) as reason:
            _log.info("%s meets its first request unprepared: %s", self.called, reason)

    def compile(self, sample: Arrays, *, only_if_faster: bool = True, faster: Verdicts | None = None) -> bool:
        """Compiles for the shapes of `sample`, taking as long as it takes; True when they run compiled from now on.

        The answers must agree with the plain graph's, or nothing runs compiled. `only_if_faster` leaves out shapes
        that do not gain by it, or did not gain when they were first compiled.
        faster: keys of what was found to gain, which need not be tried again; this adds to them.
        """
        arguments = [sample[name] for name in self._names]
        shapes = tuple(array.shape for array in arguments)
        if self._agreed and shapes in self._inherited:
            self._settled.add(shapes)
            self._ready.add(shapes)
        if shapes in self._settled:
            return shapes in self._ready
        while self._compilable:
            try:
                if self._compiled is None:
                    self._compiled = self._build()
                answers = with_low_priority(self._compiled, *arguments)
            except Unsplittable as reason:
                _log.info("%s is served uncompiled: %s", self.called, reason)
                self._compilable = False
            except tf.errors.OpError as error:
                if not self._learn(error):
                    _log.info("%s is served uncompiled: %s", self.called, _summary(error))
                    self._compilable = False
            else:
                if not self._agrees(arguments, answers):
                    _log.warning("%s is served uncompiled: its answers would differ", self.called)
                    self._compilable = False
                    break
                self._settled.add(shapes)
                if not only_if_faster or shapes in self._inherited or self._gains(arguments, faster):
                    self._ready.add(shapes)
                return shapes in self._ready
        self._compiled = None
        return False

    def _gains(self, arguments: Sequence[np.ndarray], faster: Verdicts | None) -> bool:
        shapes = {name: array.shape for name, array in zip(self._names, arguments, strict=True)}
        key = hashlib.blake2b(f"{self._key} {shapes}".encode(), digest_size=16).hexdigest()
        if faster is not None and key in faster:
            return True
        assert self._compiled is not None
        gains = _is_no_slower(self._compiled, self._plain, arguments)
        if gains and faster is not None:
            faster.add(key)
        return gains

    def _build(self) -> _Callable:
        graph = self._session.graph
        twin = add_twin(graph, self._feeds, self._fetches, self._host_ops)
        self._key = twin.key
        # In the calling thread: XLA compiles at its priority, and one compiled part needs no others.
        here = tf.compat.v1.RunOptions(inter_op_thread_pool=-1)
        options = self._options(twin.outputs, run_options=here)
        # At the usual priority: the session answers nobody meanwhile.
        compiled: _Callable = self._session._make_callable_from_options(options)
        return compiled

    def _options(self, fetches: Sequence[tf.Tensor], **more: Any) -> config_pb2.CallableOptions:
        """What a session makes callables of that it runs without preparations: those take longer than many a model."""
        feed, fetch = ([tensor.name for tensor in tensors] for tensors in (self._feeds, fetches))
        return config_pb2.CallableOptions(feed=feed, fetch=fetch, **more)

    def _learn(self, error: tf.errors.OpError) -> bool:
        """Notes which ops XLA refused; False when there is nothing new to try."""
        refused = set(_REFUSED_OP.findall(str(error))) - self._host_ops
        self._host_ops |= refused
        self._compiled = None
        return bool(refused) and len(self._host_ops) <= _MOST_REFUSALS

    def _agrees(self, arguments: Sequence[np.ndarray], answers: Sequence[np.ndarray]) -> bool:
        if self._agreed:
            return True
        try:
            self._has_run = True
            expected = self._plain(*arguments)
        except tf.errors.OpError:
            return False
        self._agreed = all(_close(got, want) for got, want in zip(answers, expected, strict=True))
        return self._agreed


def _called(model: str, signature: Signature) -> str:
    return f"{model}, signature {signature.name}".removeprefix(", ")


def _is_no_slower(run: _Callable, other: _Callable, arguments: Sequence[np.ndarray]) -> bool:
    """Whether a call takes no longer than another one does, as far as can be told beside other work.

    By the fastest of some runs in turn, for what else the machine does only ever makes a run slower. It is only found
    slower after many: what is compiled in vain costs little, and what is not costs every request.
    """
    fastest = [float("inf")] * 2
    for done in range(1, _MOST_RUNS + 1):
        for which, call in enumerate((run, other)):
            began = time.perf_counter()
            call(*arguments)
            fastest[which] = min(fastest[which], time.perf_counter() - began)
        if done >= _LEAST_RUNS and fastest[0] <= fastest[1] * _TIE:
            return True
    return False


def _close(got: np.ndarray | bytes, want: np.ndarray | bytes) -> bool:
    got, want = np.asarray(got), np.asarray(want)  # a session gives a single string as it is
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if got.dtype.kind not in "fc":
        return bool(np.array_equal(got, want))
    scale = float(np.max(np.abs(want[np.isfinite(want)]), initial=1.0))
    return bool(np.allclose(got, want, rtol=1e-3, atol=1e-3 * scale, equal_nan=True))


def _summary(error: tf.errors.OpError) -> str:
    """What went wrong, without the stack and the node names that TensorFlow wraps around it."""
    message = (error.message or type(error).__name__).split("\n\nOriginal stack trace")[0]
    message = _NODE_LINE.split(message.removeprefix("Graph execution error:"))[-1]
    return message.strip().split("\n")[0].split(" [[")[0][:300]


def _translated(error: tf.errors.OpError) -> ServingError:
    if isinstance(error, tf.errors.InvalidArgumentError):
        return InvalidInput(f"the model refused its input: {_summary(error)}")
    return Internal(f"the model failed: {_summary(error)}")
