"""What the Open Inference Protocol and Triton's extensions of it say alike over gRPC and HTTP."""

from importlib import metadata as packages

from serving.control import Control
from serving.datatypes import BY_NAME
from serving.engine import Engine
from serving.errors import FailedPrecondition, InvalidInput
from serving.repository import State, VersionStatus
from serving.servables.metadata import ModelMetadata
from serving.signature import DEFAULT_SIGNATURE, Signature, TensorSpec

SERVER_NAME = "seqserve"
PLATFORM = "tensorflow_savedmodel"
# By the names that Triton gives them; what it has and we lack is refused, and not listed.
EXTENSIONS: tuple[str, ...] = (
    "classification",
    "sequence",
    "sequence(string_id)",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
NO_SHARED_MEMORY = "the server does not support shared memory: send tensors in the message"
NO_TRACING = "the server does not support tracing"
NO_LOGGING = "the server does not support dynamic logging"
_MAX_VERSION_DIGITS = 19
_STATES = {
    State.START: "LOADING",
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.UNLOADING: "UNLOADING",
    State.END: "UNAVAILABLE",
}


def server_version() -> str:
    """The installed release; empty when run from files that were never installed."""
    try:
        return packages.version("seqserve")
    except packages.PackageNotFoundError:
        return ""


def version_number(text: str) -> int | None:
    """A version as protocols spell it in text; empty means the one the server chooses."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_VERSION_DIGITS:
        raise InvalidInput(f"expected a model version to be an integer of 0 or more, got {text[:40]!r}")
    return int(text)


def signature_of(engine: Engine, model: str, version: int | None) -> Signature:
    """The one signature that this protocol's metadata can show."""
    return shown_signature(engine.metadata(model, version))


def shown_signature(metadata: ModelMetadata) -> Signature:
    """The default signature; raises FailedPrecondition where there is none."""
    if DEFAULT_SIGNATURE not in metadata.signatures:
        raise FailedPrecondition(
            f"expected model {metadata.name!r} to have a signature {DEFAULT_SIGNATURE!r}; "
            f"it has {sorted(metadata.signatures)[:10]}"
        )
    return metadata.signatures[DEFAULT_SIGNATURE]


def datatype_of(spec: TensorSpec) -> str | None:
    """The protocol's name for a tensor's type; None where it has none."""
    kind = BY_NAME.get(spec.dtype)
    return kind.oip_name if kind is not None else None


def shape_of(spec: TensorSpec) -> list[int]:
    """A tensor's shape, -1 for each axis of any size; [-1] where not even the rank is known."""
    return [-1] if spec.shape is None else [-1 if axis is None else axis for axis in spec.shape]


async def available_versions(control: Control, model: str) -> list[str]:
    """The versions that requests may name, ascending."""
    statuses = await control.status(model)
    return [str(status.version) for status in reversed(statuses) if status.state is State.AVAILABLE]


def index_state(status: VersionStatus) -> tuple[str, str]:
    """A version's state in Triton's words, and the reason of one that is not served."""
    state = _STATES[status.state]
    if state != "UNAVAILABLE":
        return state, ""
    return state, status.message or "unloaded"
