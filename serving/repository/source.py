"""Where a model's versions lie, and what lay there when it was last looked."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.repository.storage import Fingerprint, Store
from serving.threads import in_thread

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Source:
    """A store and what is known of it.

    found: the versions there; None before the first look. still: those of them that look the same as the time before.
    problem: why the last look failed. fetching: held while the store's files come or go.
    """

    store: Store
    found: Mapping[int, Fingerprint] | None = None
    still: set[int] = field(default_factory=set)
    problem: Exception | None = None
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, model: str, *, trust: bool) -> None:
        """Lists the versions anew. trust: takes what is found as whole; else it must look the same twice."""
        try:
            found = await in_thread(self.store.versions, name=f"look-{model}")
        except Exception as error:
            if str(error) != str(self.problem):
                _log.warning("the versions of %s cannot be listed: %s", model, error)
            self.problem = error
            return
        seen = self.found or {}
        self.still = {v for v, fingerprint in found.items() if trust or seen.get(v) == fingerprint}
        self.found, self.problem = found, None
