"""The model_config_file, read again and again: a good one is applied, a bad one changes nothing and is reported."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from serving.errors import FailedPrecondition, ServingError
from serving.repository.model_config import ConfigError, ModelConfig, is_empty, parse
from serving.threads import in_thread

_log = logging.getLogger(__name__)
_SETTLE_SECONDS = 0.25


class ConfigFile:
    """Looks at the file every `poll_seconds`, and takes what it finds twice, `settle_seconds` apart.

    applied: what it said at the start. apply: serves other models from now on; raises ServingError.
    failed: called once for each change of the file that cannot be applied.
    """

    def __init__(
        self,
        file: Path,
        applied: Sequence[ModelConfig],
        apply: Callable[[Sequence[ModelConfig]], Awaitable[None]],
        *,
        poll_seconds: float,
        settle_seconds: float = _SETTLE_SECONDS,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = file
        self._applied = _by_name(applied)
        self._apply = apply
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._failed = failed
        self._seen: str | None = None
        self._told = ""

    async def watch(self) -> None:
        """Never returns."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._look()
            except Exception:  # the next look may succeed
                _log.exception("looking at %s failed", self._file)

    async def _look(self) -> None:
        try:
            text = await self._text()
            if text == self._seen:
                return
            await asyncio.sleep(self._settle_seconds)
            if text != await self._text():
                return  # half of a file can read as a good one with fewer models
            configs = _by_name(parse(text))
            if not configs and is_empty(text):  # as it is while somebody writes it anew; TF Serving waits, too
                return
            if configs != self._applied:
                await self._apply(configs)
                _log.info("%s is applied: %d models", self._file, len(configs))
        except (OSError, UnicodeError, ConfigError) as error:
            self._report(error)
        except FailedPrecondition as error:  # a label whose version may be about to load: the next look tries again
            self._report(error)
        except ServingError as error:
            self._seen, self._applied = text, configs
            self._report(error)
        else:
            self._seen, self._applied, self._told = text, configs, ""

    async def _text(self) -> str:
        return await in_thread(self._file.read_text, "utf-8", name="config")

    def _report(self, error: Exception) -> None:
        if str(error) != self._told:
            self._told = str(error)
            _log.error("%s: what it says is not applied: %s", self._file, error)
            self._failed()


def _by_name(configs: Sequence[ModelConfig]) -> Sequence[ModelConfig]:
    return sorted(configs, key=lambda config: config.name)
