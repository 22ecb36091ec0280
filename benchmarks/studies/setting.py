"""What every study is told."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Setting:
    """models: the directory of models. drawings: a folder of <class>.npz, or None. flags: our server's own."""

    models: Path
    logs: Path
    drawings: Path | None = None
    flags: Sequence[str] = ()

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))
