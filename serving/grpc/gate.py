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

    def try_enter(self) -> bool:
        """Holds one call, until `leave`; False where there is no room."""
        if self._inside >= self._most:
            return False
        self._inside += 1
        return True

    def enter(self) -> None:
        """Holds one call, until `leave`."""
        if not self.try_enter():
            raise Overloaded(f"expected at most {self._most} requests at once; received: one more")

    def leave(self) -> None:
        self._inside -= 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
