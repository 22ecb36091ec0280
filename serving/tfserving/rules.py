"""TF Serving's rules for what is asked, alike over gRPC and HTTP, in the words that its clients look for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serving.control import Control
from serving.engine import Engine
from serving.errors import FailedPrecondition, InvalidInput, NotFound
from serving.quoting import listed, shown
from serving.repository import VersionStatus
from serving.servables.metadata import ModelMetadata
from serving.signature import DEFAULT_SIGNATURE, Signature

# What clients of OpenVINO's make send who mean none; where a version has this number, it is meant.
NO_VERSION: Final = 0


@dataclass(frozen=True, slots=True)
class Address:
    """Which model, and which version of it: a number, a label, or neither for the server's choice."""

    model: str
    version: int | None = None
    label: str | None = None

    async def status(self, control: Control) -> Sequence[VersionStatus]:
        """Where the versions addressed stand, newest first."""
        try:
            return await control.status(self.model, self.version, self.label)
        except NotFound:
            if self.version != NO_VERSION:
                raise
            return await control.status(self.model)

    async def metadata(self, engine: Engine, deadline: float | None) -> ModelMetadata:
        """What the version addressed takes and gives; waits for the models of the start."""
        await engine.started(engine.deadline(deadline))
        try:
            return engine.metadata(self.model, self.version, self.label)
        except NotFound:
            if self.version != NO_VERSION:
                raise
            return engine.metadata(self.model)


def predict_signature(metadata: ModelMetadata, name: str) -> Signature:
    """The signature to predict with; an empty name means the default one.

    Raises FailedPrecondition, or InvalidInput for one that cannot be served.
    """
    check_served(metadata, name or DEFAULT_SIGNATURE)
    signature = metadata.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise FailedPrecondition(
            f'Serving signature key "{shown(name or DEFAULT_SIGNATURE)}" not found. '
            f"Model {metadata.name} has the signatures {listed(metadata.signatures)}"
        )
    return signature


def check_served(metadata: ModelMetadata, name: str) -> None:
    """Raises InvalidInput, with the reason, for a signature that the model has and the server cannot serve."""
    if name in metadata.refusals:
        raise InvalidInput(metadata.refusals[name])


def check_outputs(signature: Signature, names: Sequence[str]) -> None:
    """Raises InvalidInput where a name is none of the signature's outputs, or comes twice."""
    seen = set()
    for name in names:
        if name not in signature.outputs:
            raise InvalidInput(
                f"output tensor alias not found in signature: {shown(name)} "
                f"Outputs expected to be in the set {listed(signature.outputs)}."
            )
        if name in seen:
            raise InvalidInput(f"duplicate output tensor alias: {name}")
        seen.add(name)
