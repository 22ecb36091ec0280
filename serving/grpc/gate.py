"""How many calls are let in at once."""

import contextlib
from collections.abc import Iterator

from serving.errors import Overloaded


class Gate:
    """Refuses what comes while as many calls as it may hold are inside; a stream is one call until it ends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @contextlib.contextmanager
    def passed(self) -> Iterator[None]:
        """Holds one call; raises Overloaded where there is no room."""
        if self._inside >= self._most:
            raise Overloaded(f"expected at most {self._most} requests at once; received: one more")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
