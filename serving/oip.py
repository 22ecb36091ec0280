"""What the Open Inference Protocol says alike over gRPC and HTTP."""

from importlib import metadata as packages

from serving.control import Control
from serving.engine import Engine
from serving.errors import FailedPrecondition, InvalidInput
from serving.repository import State
from serving.signature import DEFAULT_SIGNATURE, Signature

SERVER_NAME = "seqserve"
PLATFORM = "tensorflow_savedmodel"
EXTENSIONS: tuple[str, ...] = ()
# Our own request parameter, for models that have more than one signature.
SIGNATURE_PARAMETER = "signature_name"
_MAX_VERSION_DIGITS = 19


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
    signatures = engine.metadata(model, version).signatures
    if DEFAULT_SIGNATURE not in signatures:
        raise FailedPrecondition(
            f"expected model {model!r} to have a signature {DEFAULT_SIGNATURE!r}; it has {sorted(signatures)}"
        )
    return signatures[DEFAULT_SIGNATURE]


async def available_versions(control: Control, model: str) -> list[str]:
    return [str(status.version) for status in await control.status(model) if status.state is State.AVAILABLE]
