"""The model repository as Triton's clients see and change it.

Source: Triton's docs/protocol/extension_model_repository.md.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from serving.control import Control
from serving.errors import FailedPrecondition, InvalidInput, Unimplemented
from serving.oip import index_state
from serving.quoting import listed
from serving.repository import NO_VERSION

# How long a load or unload may take when its caller sets no shorter deadline.
CONTROL_SECONDS = 600.0
_UNLOAD_DEPENDENTS = "unload_dependents"


class ModelRepository:
    """The index for everybody; loading and unloading only where the server was started to allow it.

    Every method takes parameters as Python values and raises ServingError.
    """

    def __init__(self, control: Control, *, allow_model_control: bool) -> None:
        self._control = control
        self._allowed = allow_model_control

    async def index(self, repository: str = "", *, ready: bool = False) -> Sequence[Mapping[str, str]]:
        """Name, version, state and reason of every version known; of those that answer, if `ready`."""
        _refuse_names(repository)
        entries = []
        for name, status in await self._control.index():
            state, reason = index_state(status)
            if ready and state != "READY":
                continue
            if status.version == NO_VERSION:
                entries.append({"name": name})
            else:
                entries.append({"name": name, "version": str(status.version), "state": state, "reason": reason})
        return entries

    async def load(
        self, model: str, parameters: Mapping[str, Any], deadline: float | None = None, repository: str = ""
    ) -> None:
        """Loads a model, or its newest version if it is loaded already; returns when it answers."""
        self._check_allowed()
        _refuse_names(repository)
        if parameters:
            raise InvalidInput(f"expected no parameters to load a model: its files say how; got {listed(parameters)}")
        await self._control.load(model, _deadline(deadline))

    async def unload(
        self, model: str, parameters: Mapping[str, Any], deadline: float | None = None, repository: str = ""
    ) -> None:
        """Unloads every version of a model; returns when they have gone. No model depends on another here."""
        self._check_allowed()
        _refuse_names(repository)
        if type(parameters.get(_UNLOAD_DEPENDENTS, False)) is not bool:
            raise InvalidInput(f"Unable to parse '{_UNLOAD_DEPENDENTS}': expected true or false, got another value")
        if unknown := parameters.keys() - {_UNLOAD_DEPENDENTS}:
            raise InvalidInput(f"expected no parameter but '{_UNLOAD_DEPENDENTS}', got {listed(unknown)}")
        await self._control.unload(model, _deadline(deadline))

    def _check_allowed(self) -> None:
        if not self._allowed:
            raise FailedPrecondition(
                "explicit model load / unload is not allowed: the server was started without --allow_model_control"
            )


def _deadline(asked: float | None) -> float:
    own = time.monotonic() + CONTROL_SECONDS
    return own if asked is None else min(own, asked)


def _refuse_names(repository: str) -> None:
    if repository:
        raise Unimplemented("'repository_name' specification is not supported")
