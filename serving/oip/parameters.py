"""What the parameters of a request ask for, over gRPC and HTTP alike.

Reserved names are Triton's; any other may be sent and means nothing here.
Source: Triton's docs/protocol/extension_sequence.md, extension_schedule_policy.md, extension_parameters.md.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import InvalidInput
from serving.sequences import SequenceStep
from serving.signature import DEFAULT_SIGNATURE

# Our own, for models that have more than one signature.
SIGNATURE_PARAMETER = "signature_name"
# A client asks with it for an extra last message after a stream of answers; here each request has one answer.
EMPTY_FINAL_RESPONSE = "triton_enable_empty_final_response"
_RESERVED_PREFIX = "triton_"
_MOST_ID_CHARACTERS = 128
_MOST_ID = 2**64 - 1
_MOST_MICROSECONDS = 10**15  # of an integer as large as JSON allows there is no float
_KINDS: Mapping[type, str] = {bool: "true or false", int: "an integer of 0 or more", str: "a string"}


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters that the server acts on.

    timeout: seconds, None for the server's own. binary: whether outputs that say nothing else come as bytes.
    """

    signature: str = DEFAULT_SIGNATURE
    sequence: SequenceStep | None = None
    timeout: float | None = None
    binary: bool = False

    def deadline(self, asked: float | None) -> float | None:
        """The caller's deadline, or what the timeout leaves of it, on the clock of time.monotonic()."""
        if self.timeout is None:
            return asked
        own = time.monotonic() + self.timeout
        return own if asked is None else min(own, asked)


def read_options(parameters: Mapping[str, Any]) -> Options:
    """The options of a request's parameters, as Python values. Raises InvalidInput."""
    if not parameters:
        return Options()
    for name in parameters:
        if name.startswith(_RESERVED_PREFIX) and name != EMPTY_FINAL_RESPONSE:
            raise InvalidInput(
                f"parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified; "
                f"got {name[:60]!r}"
            )
    _value(parameters, "priority", int, 0)  # one queue for all: no request overtakes another
    microseconds = _value(parameters, "timeout", int, 0)
    return Options(
        signature=_value(parameters, SIGNATURE_PARAMETER, str, "") or DEFAULT_SIGNATURE,
        sequence=_sequence(parameters),
        timeout=min(microseconds, _MOST_MICROSECONDS) / 1e6 if microseconds else None,
        binary=_value(parameters, "binary_data_output", bool, False),
    )


def _sequence(parameters: Mapping[str, Any]) -> SequenceStep | None:
    start = _value(parameters, "sequence_start", bool, False)
    end = _value(parameters, "sequence_end", bool, False)
    number: Any = parameters.get("sequence_id", 0)
    if type(number) is not int and type(number) is not str:
        raise InvalidInput(
            f"invalid value type for 'sequence_id' parameter, expected an integer or a string, got {_shown(number)}"
        )
    if isinstance(number, str) and len(number) > _MOST_ID_CHARACTERS:
        raise InvalidInput(f"expected a sequence_id of at most {_MOST_ID_CHARACTERS} characters, got {len(number)}")
    if type(number) is int and not 0 <= number <= _MOST_ID:
        raise InvalidInput("expected a sequence_id of 0 to 2^64-1, got another integer")
    if number:
        return SequenceStep(number, start=start, end=end)
    if start or end:
        raise InvalidInput("an inference request of a sequence must specify a non-zero or non-empty correlation ID")
    return None


def _value(parameters: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value: Any = parameters.get(name, default)
    # type() tells true from 1, which isinstance() does not
    fits = type(value) is kind
    if not fits or (kind is int and value < 0):
        raise InvalidInput(f"invalid value type for '{name}' parameter, expected {_KINDS[kind]}, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return repr(value)[:60] if isinstance(value, (bool, int, float, str)) else type(value).__name__
