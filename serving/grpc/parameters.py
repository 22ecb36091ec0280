"""The Open Inference Protocol's InferParameters as Python values."""

from collections.abc import Mapping
from typing import Any


def plain(parameters: Mapping[str, Any]) -> dict[str, bool | int | float | str | None]:
    """The values by name; None for a parameter that has none."""
    return {
        name: getattr(parameter, kind) if (kind := parameter.WhichOneof("parameter_choice")) is not None else None
        for name, parameter in parameters.items()
    }
