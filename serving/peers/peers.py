"""The other worker processes of this server: each listens on a Unix socket in a directory that they share.

A control call reaches one worker, by whichever connection the kernel gave it; what it asks for concerns them all.
One connection carries one question and its answer, both as a line of JSON.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from serving.errors import Code, Internal, ServingError, Unavailable, error_of
from serving.processes import is_alive

_log = logging.getLogger(__name__)
_MAX_LINE_BYTES = 64 * 2**20
_CLOSE_SECONDS = 1.0

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]


class Peers:
    """Asks all other workers, and answers when one of them asks.

    directory: where the workers of one server meet; must exist, and be closed to other users.
    number: what the others know this worker by; its process number.
    answers: by the name of the question; each takes its arguments and returns what JSON can carry, or raises
    ServingError, which reaches the worker that asked.
    """

    def __init__(self, directory: Path, answers: Mapping[str, Answer], *, number: int | None = None) -> None:
        self.number = os.getpid() if number is None else number
        self._directory = directory
        self._answers = answers
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Listens; from now on the others see this worker."""
        path = _address(self._directory, self.number)
        path.unlink(missing_ok=True)  # of a process long gone that had our number
        self._server = await asyncio.start_unix_server(self._serve, path, limit=_MAX_LINE_BYTES)

    async def close(self) -> None:
        """Answers no more; the others see that this worker has gone."""
        if self._server is not None:
            self._server.close()
            _address(self._directory, self.number).unlink(missing_ok=True)

    def pids(self) -> Sequence[int]:
        """The process numbers of the others, ascending; one that was killed may still be among them."""
        found = (int(path.stem) for path in self._directory.glob("*.peer"))
        return sorted(pid for pid in found if pid != self.number)

    async def ask(
        self, question: str, deadline: float, *, lenient: bool = False, **arguments: Any
    ) -> Mapping[int, Any]:
        """The answers of all others that live, by process number.

        deadline: on the clock of the event loop (time.monotonic), in seconds.
        Raises the first ServingError that one of them raised, or Unavailable where one is silent until `deadline`;
        `lenient` leaves these out.
        """
        pids = self.pids()
        ask = self._ask_leniently if lenient else self._ask
        tasks = [asyncio.create_task(ask(pid, question, deadline, arguments)) for pid in pids]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return {pid: answer for pid, answer in zip(pids, answers, strict=True) if answer is not _GONE}

    async def _ask_leniently(self, pid: int, question: str, deadline: float, arguments: Mapping[str, Any]) -> Any:
        try:
            return await self._ask(pid, question, deadline, arguments)
        except ServingError as error:
            _log.warning("worker %d is left out of %r: %s", pid, question, error.message)
            return _GONE

    async def _ask(self, pid: int, question: str, deadline: float, arguments: Mapping[str, Any]) -> Any:
        path = _address(self._directory, pid)
        try:
            async with asyncio.timeout_at(deadline):
                reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_LINE_BYTES)
                try:
                    writer.write(orjson.dumps([question, arguments]) + b"\n")
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
        except TimeoutError:
            raise Unavailable(f"worker {pid} did not answer in time") from None
        except OSError:
            if not is_alive(pid):
                path.unlink(missing_ok=True)
            return _GONE
        if not line:
            return _GONE
        code, answer = orjson.loads(line)
        if code != Code.OK.value:
            raise error_of(Code(code), answer)
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                writer.write(orjson.dumps(await self._reply(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # it has gone, or never was one of us
            _log.debug("a question between workers failed: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)

    async def _reply(self, line: bytes) -> tuple[int, Any]:
        question, arguments = orjson.loads(line)
        try:
            return Code.OK.value, await self._answers[question](arguments)
        except ServingError as error:
            return error.code.value, error.message
        except Exception:
            _log.exception("answering %r for another worker failed", question)
            return Internal.code.value, f"a worker failed to answer {question!r}"


_GONE = object()


def _address(directory: Path, pid: int) -> Path:
    return directory / f"{pid}.peer"
