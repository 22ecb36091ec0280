"""Classify and Regress: what a signature must look like for them, and what its outputs mean.

The rules are those of TF Serving's classifier.cc and regressor.cc. A signature's method name is not looked at, as TF
Serving does by default, for models saved by TensorFlow 2 have no other than predict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from serving.engine import Engine, InferRequest, InferResult
from serving.errors import FailedPrecondition, InvalidInput
from serving.offload import sized
from serving.quoting import listed, shown
from serving.servables.metadata import ModelMetadata
from serving.signature import DEFAULT_SIGNATURE, Signature
from serving.tfserving.examples import EXAMPLES_INPUT
from serving.tfserving.rules import Address, check_served

_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"

# Lists of Python's objects take far longer to make than their arrays did.
_COST = 16

_T = TypeVar("_T")
Outputs = Mapping[str, np.ndarray]
# For each class its label and its score, as a numpy scalar.
Classifications = list[list[tuple[str, np.float32]]]


@dataclass(frozen=True, slots=True)
class Method(Generic[_T]):
    """One way to ask with examples.

    name: as in a SignatureDef's method_name.
    outputs: the outputs it needs of a signature; raises where it cannot be asked so.
    results: reads those outputs, for so many examples.
    """

    name: str
    outputs: Callable[[Signature], tuple[str, ...]]
    results: Callable[[Outputs, int], _T]

    async def infer(
        self, engine: Engine, metadata: ModelMetadata, signature: str, examples: np.ndarray, deadline: float | None
    ) -> InferResult:
        """Asks the version that `metadata` tells of, which must have been looked up just before."""
        with engine.refusals(metadata.name):
            signature = signature or DEFAULT_SIGNATURE
            check_served(metadata, signature)
            if signature not in metadata.signatures:
                raise InvalidInput(
                    f"No signature was found with the name: {shown(signature)}. "
                    f"Model {metadata.name} has the signatures {listed(metadata.signatures)}"
                )
            outputs = self.outputs(metadata.signatures[signature])
            request = InferRequest(
                metadata.name,
                {EXAMPLES_INPUT: examples},
                version=metadata.version,
                signature=signature,
                outputs=outputs,
                deadline=deadline,
            )
        return await engine.infer(request)

    async def ask(
        self, engine: Engine, address: Address, signature: str, examples: np.ndarray, deadline: float | None
    ) -> tuple[InferResult, _T]:
        """The answer, and what it says of each example."""
        with engine.refusals(address.model):
            metadata = await address.metadata(engine, deadline)
        result = await self.infer(engine, metadata, signature, examples, deadline)
        nbytes = sum(array.nbytes for array in result.outputs.values())
        return result, await sized(_COST * nbytes, self.results, result.outputs, len(examples))


def _check_input(signature: Signature, kind: str) -> None:
    if len(signature.inputs) != 1:
        raise InvalidInput(f"Expected one input Tensor. Signature {signature.name} has {listed(signature.inputs)}")
    if EXAMPLES_INPUT not in signature.inputs:
        raise FailedPrecondition(
            f"No {kind} inputs found in SignatureDef: expected an input {EXAMPLES_INPUT!r}; "
            f"signature {signature.name} has {listed(signature.inputs)}"
        )


def _classification_outputs(signature: Signature) -> tuple[str, ...]:
    _check_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise InvalidInput(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    wanted = tuple(name for name in (_CLASSES, _SCORES) if name in signature.outputs)
    if not wanted:
        raise FailedPrecondition(
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" or "{_SCORES}". '
            f"Signature {signature.name} has {listed(signature.outputs)}"
        )
    return wanted


def _regression_outputs(signature: Signature) -> tuple[str, ...]:
    _check_input(signature, "regression")
    if len(signature.outputs) != 1:
        raise InvalidInput(f"Expected one output Tensor. Signature {signature.name} has {listed(signature.outputs)}")
    if _OUTPUTS not in signature.outputs:
        raise FailedPrecondition(
            f"No regression outputs found in SignatureDef: expected an output {_OUTPUTS!r}; "
            f"signature {signature.name} has {listed(signature.outputs)}"
        )
    return (_OUTPUTS,)


def _classifications(outputs: Outputs, count: int) -> Classifications:
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    for name, array, dtype in ((_CLASSES, classes, np.dtype(object)), (_SCORES, scores, np.dtype(np.float32))):
        if array is None:
            continue
        if array.ndim != 2:
            raise InvalidInput(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)} in {name}")
        if array.dtype != dtype:
            expected = "DT_FLOAT" if name == _SCORES else "DT_STRING"
            raise InvalidInput(f"Expected {name} Tensor of {expected}. Got: {array.dtype}")
        if len(array) != count:
            raise InvalidInput(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise InvalidInput(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    if scores is None:
        assert classes is not None
        scores = np.zeros(classes.shape, np.float32)
    if classes is None:
        return [[("", score) for score in row] for row in scores]
    return [
        [(label.decode(errors="replace"), score) for label, score in zip(*row, strict=True)]
        for row in zip(classes, scores, strict=True)
    ]


def _regressions(outputs: Outputs, count: int) -> np.ndarray:
    array = outputs[_OUTPUTS]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise InvalidInput(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(array.shape)}"
        )
    if len(array) != count:
        raise InvalidInput(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise InvalidInput(f"Expected output Tensor of DT_FLOAT. Got: {array.dtype}")
    return array.ravel()


CLASSIFY: Method[Classifications] = Method("tensorflow/serving/classify", _classification_outputs, _classifications)
REGRESS: Method[np.ndarray] = Method("tensorflow/serving/regress", _regression_outputs, _regressions)
