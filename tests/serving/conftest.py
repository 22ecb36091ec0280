"""A small engine-shaped class for the front ends' tests: real answers from numpy, and failures on demand."""

import asyncio
import contextlib
import time

import ml_dtypes
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, input_pb2

from serving.datatypes import BY_NAME
from serving.engine import InferRequest, InferResult
from serving.errors import InvalidInput, NotFound
from serving.repository import State, VersionStatus
from serving.servables.inputs import check_input
from serving.servables.metadata import ModelMetadata
from serving.signature import Signature, TensorSpec

ECHOED = [
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
]


def _signature(name, inputs, outputs):
    return Signature(
        name,
        "tensorflow/serving/predict",
        {key: TensorSpec(key, *spec) for key, spec in inputs.items()},
        {key: TensorSpec(key, *spec) for key, spec in outputs.items()},
    )


def _definition(signature):
    signatures = get_model_metadata_pb2.SignatureDefMap()
    definition = signatures.signature_def[signature.name]
    definition.method_name = signature.method_name
    for specs, infos in ((signature.inputs, definition.inputs), (signature.outputs, definition.outputs)):
        for name, spec in specs.items():
            infos[name].name = f"{name}:0"
            infos[name].dtype = BY_NAME[spec.dtype].tf_number
            infos[name].tensor_shape.unknown_rank = spec.shape is None
            for size in spec.shape or ():
                infos[name].tensor_shape.dim.add(size=-1 if size is None else size)
    return definition


SIGNATURES = {
    "sum": {
        "serving_default": _signature(
            "serving_default", {"x": ("float32", (None, None))}, {"sum": ("float32", (None,))}
        )
    },
    "mixed": {
        "serving_default": _signature(
            "serving_default",
            {"a": ("float32", (None, 3)), "count": ("int64", (None,)), "word": ("string", (None,))},
            {
                "total": ("float32", (None,)),
                "doubled": ("int64", (None,)),
                "shout": ("string", (None,)),
                "echo_bytes": ("string", (None,)),
            },
        )
    },
    "examples": {
        "serving_default": _signature(
            "serving_default",
            {"inputs": ("string", (None,))},
            {"classes": ("string", (None, 2)), "scores": ("float32", (None, 2))},
        ),
        "labels": _signature("labels", {"inputs": ("string", (None,))}, {"classes": ("string", (None, 2))}),
        "scores": _signature("scores", {"inputs": ("string", (None,))}, {"scores": ("float32", (None, 2))}),
        "value": _signature("value", {"inputs": ("string", (None,))}, {"outputs": ("float32", (None, 1))}),
        "two_inputs": _signature(
            "two_inputs", {"inputs": ("string", (None,)), "x": ("string", (None,))}, {"outputs": ("float32", (None,))}
        ),
        "other_names": _signature("other_names", {"x": ("string", (None,))}, {"y": ("float32", (None, 2))}),
        "other_outputs": _signature("other_outputs", {"inputs": ("string", (None,))}, {"y": ("float32", (None, 2))}),
    },
    "echo": {dtype: _signature(dtype, {"x": (dtype, None)}, {"y": (dtype, None)}) for dtype in ECHOED},
}
LABELS = {"stable": 1}
VERSIONS = (1, 2)


class ToyEngine:
    """Answers "sum", "mixed" and "echo"; after `delay` seconds.

    failure: raised instead of an answer. outputs: answered instead of what was computed.
    """

    def __init__(self):
        self.control = ToyControl(self)
        self.reset()

    def reset(self):
        self.failure = None
        self.delay = 0.0
        self.outputs = None
        self.is_ready = True
        self.requests = []
        self.reached = asyncio.Event()
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.refused = []
        self.cancelled = asyncio.Event()
        self.control.reloaded = []

    def servable(self, model, version, label):
        """It has no short way."""

    async def infer(self, request: InferRequest) -> InferResult:
        self.requests.append(request)
        self.reached.set()
        version = self._version(request.model, request.version, request.label)
        self._check(request)
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure is not None:
            raise self.failure
        outputs = self.outputs or _compute(request.model, request.inputs)
        if request.model == "examples":
            outputs = {name: outputs[name] for name in SIGNATURES["examples"][request.signature].outputs}
        wanted = request.outputs or tuple(outputs)
        if unknown := set(wanted) - set(outputs):
            raise InvalidInput(f"expected outputs among {sorted(outputs)}, got {sorted(unknown)}")
        return InferResult(request.model, version, request.signature, {name: outputs[name] for name in wanted})

    async def begun(self):
        """Returns once a request has reached the model."""
        await asyncio.wait_for(self.reached.wait(), 10)

    @contextlib.contextmanager
    def refusals(self, model=""):
        try:
            yield
        except Exception as error:
            self.refused.append((model, error.code.name))
            raise

    def deadline(self, asked=None):
        return asked or time.monotonic() + 30

    async def started(self, deadline):
        await asyncio.wait_for(self.loaded.wait(), deadline - time.monotonic())

    def metadata(self, model, version=None, label=None):
        chosen = self._version(model, version, label)
        signatures = SIGNATURES[model]
        definitions = {name: _definition(signature).SerializeToString() for name, signature in signatures.items()}
        return ModelMetadata(model, chosen, signatures, definitions=definitions)

    def status(self, model, version=None, label=None):
        chosen = self._version(model, version, label)
        every = version is None and label is None
        return [VersionStatus(v, State.AVAILABLE) for v in reversed(VERSIONS) if every or v == chosen]

    def ready(self, model=None, version=None):
        known = model is None or (model in SIGNATURES and (version is None or version in VERSIONS))
        return self.is_ready and known

    def _version(self, model, version, label):
        if model not in SIGNATURES or (version is not None and version not in VERSIONS):
            which = f"Latest({model})" if version is None else f"Specific({model}, {version})"
            raise NotFound(f"Servable not found for request: {which}")
        if label is not None:
            if label not in LABELS:
                raise InvalidInput(f"Unrecognized servable version label: {label}")
            return LABELS[label]
        return version or max(VERSIONS)

    def _check(self, request):
        signatures = SIGNATURES[request.model]
        if request.signature not in signatures:
            raise NotFound(f"expected a signature of {sorted(signatures)}, got {request.signature!r}")
        signature = signatures[request.signature]
        if set(request.inputs) != set(signature.inputs):
            raise InvalidInput(f"expected inputs {sorted(signature.inputs)}, got {sorted(request.inputs)}")
        for name, array in request.inputs.items():
            check_input(signature.inputs[name], array)
            if array.ndim and not len(array):
                raise InvalidInput(f"input {name!r}: expected a batch of at least one, got none")


class ToyControl:
    """The states of the toy engine's models; reloads only note what they were asked for."""

    def __init__(self, engine):
        self._engine = engine
        self.reloaded = []

    async def reload(self, configs, deadline):
        if self._engine.failure is not None:
            raise self._engine.failure
        self.reloaded.append((configs, deadline))

    async def status(self, model, version=None, label=None):
        return self._engine.status(model, version, label)


def _compute(model, inputs):
    if model == "sum":
        return {"sum": inputs["x"].sum(axis=1)}
    if model == "echo":
        return {"y": inputs["x"]}
    if model == "examples":
        return _of_examples(inputs["inputs"])
    words = inputs["word"]
    return {
        "total": inputs["a"].sum(axis=1),
        "doubled": inputs["count"] * 2,
        "shout": np.array([word + b"!" for word in words], dtype=object),
        "echo_bytes": words,
    }


def _of_examples(examples):
    """For each its floats x, its integers n tenfold, and the length of its first text t a hundredfold, summed."""
    sums = []
    for example in examples:
        features = input_pb2.Input().example_list.examples.add(features=None)
        features.MergeFromString(example)
        feature = features.features.feature
        sums.append(
            sum(feature["x"].float_list.value)
            + 10 * sum(feature["n"].int64_list.value)
            + 100 * sum(map(len, feature["t"].bytes_list.value))
        )
    values = np.array(sums, np.float32)
    return {
        "classes": np.array([[b"sum", b"\xc3\xbf"]] * len(sums), dtype=object),
        "scores": np.stack([values, -values], axis=1),
        "outputs": values[:, None],
    }


@pytest.fixture(scope="module")
def module_engine() -> ToyEngine:
    """One engine for servers that outlive a test; tests ask for `engine`."""
    return ToyEngine()


@pytest.fixture
def engine(module_engine) -> ToyEngine:
    """The engine, as new."""
    module_engine.reset()
    return module_engine


def samples(dtype: str) -> np.ndarray:
    """Four values that use the range of the type."""
    if dtype == "string":
        return np.array([[b"", b"ascii"], ["häkchen".encode(), b"\x00\xff"]], dtype=object)
    if dtype == "bool":
        return np.array([[True, False], [False, True]])
    if dtype == "bfloat16":
        return np.array([[0.5, -2.0], [1e30, 0.0]], dtype=ml_dtypes.bfloat16)
    if dtype.startswith("float"):
        return np.array([[0.5, -2.0], [np.finfo(dtype).max, 0.0]], dtype=dtype)
    limits = np.iinfo(dtype)
    return np.array([[limits.min, limits.max], [1, 0]], dtype=dtype)


@pytest.fixture(params=ECHOED)
def sample(request) -> tuple[str, np.ndarray]:
    return request.param, samples(request.param)


@pytest.fixture
def soon():
    """A deadline on the engine's clock is about so many seconds away."""

    def check(deadline: float, seconds: float) -> bool:
        # gRPC rounds up, and a busy machine is late.
        return seconds - 2 < deadline - time.monotonic() <= seconds + 0.5

    return check
