"""TF Serving's ModelSpec: what a request asks of, and what an answer says of itself."""

from typing import Any

from serving.engine import InferResult
from serving.errors import InvalidInput
from serving.tfserving.rules import Address


def addressed(request: Any) -> Address:
    """What the model_spec of a request names; raises InvalidInput where it names no model."""
    if not request.HasField("model_spec"):
        raise InvalidInput("Missing ModelSpec: expected a model_spec with a name; received: none")
    spec = request.model_spec
    if not spec.name:
        raise InvalidInput("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return Address(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def describe(spec: Any, result: InferResult) -> None:
    """Says in an answer who gave it."""
    spec.name = result.model
    spec.version.value = result.version
    spec.signature_name = result.signature
