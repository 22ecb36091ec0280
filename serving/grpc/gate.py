"""How many calls are let in at once."""

from types import TracebackType

from serving.errors import Overloaded


class Gate:
    """Refuses what comes while as many calls as it may hold are inside; a stream is one call until it ends.

    Each call is a block in it; entering raises Overloaded where there is no room.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @property
    def is_full(self) -> bool:
        return self._inside >= self._most

    def enter(self) -> None:
        """Holds one call, until `leave`."""
        if self.is_full:
            raise Overloaded(f"expected at most {self._most} requests at once; received: one more")
        self._inside += 1

    def leave(self) -> None:
        self._inside -= 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
