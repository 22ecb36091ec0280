"""What is to serve, as far as files and callers have ordered it. A worker that starts later obeys.

The orders lie in the directory that the workers of a server share, and go with it: as TF Serving's, a server that is
started anew serves what its settings say.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from serving.errors import Unavailable
from serving.peers.locks import locked


class Orders(BaseModel):
    """What to do once a worker has started.

    config: the text form of the ModelServerConfig that was last ordered; None for that of the settings.
    file: that of the one which the model_config_file held when it was last applied.
    unloaded: names of models that are not to serve.
    """

    model_config = ConfigDict(frozen=True)

    config: str | None = None
    file: str | None = None
    unloaded: frozenset[str] = frozenset()


class OrderBook:
    """The orders of one server. `directory`: the one that its workers share."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "orders.json"
        self._lock = directory / "orders.lock"

    def read(self) -> Orders:
        try:
            return Orders.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return Orders()

    def write(self, orders: Orders) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(orders.model_dump_json())
        beside.rename(self._file)

    @contextlib.asynccontextmanager
    async def alone(self, deadline: float) -> AsyncIterator[None]:
        """One worker at a time, so that all carry orders out in the same order; a worker that dies lets others in.

        deadline: on the clock of time.monotonic(). Raises Unavailable where others took too long.
        """
        async with locked(self._lock, deadline) as held:
            if not held:
                raise Unavailable("another order to the server is still being carried out")
            yield
