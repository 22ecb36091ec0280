"""Seconds from the command to a server that is ready, and to one that has compiled everything."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import Figures
from benchmarks.ours import serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting


def prepare(stack: ExitStack, setting: Setting) -> Study:
    """The first round, which warms up, is the first start with an empty cache of compiled code; its figures are notes.

    All other rounds are second starts: they find there what the first has compiled.
    """
    cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-cache-")))
    notes: list[str] = []

    def start(_: float) -> Figures:
        began = time.monotonic()
        flags = [*setting.flags, "--xla_cache_directory", str(cache)]
        with serving(setting.models, flags, setting.logs / "start.log", wait=False) as ours:
            ready = time.monotonic() - began
            compiled = ours.compiled() - began
        if not notes:
            notes.append(f"The first start was ready after {ready:.1f} s, and had all compiled after {compiled:.1f} s.")
        return {"seconds": ready, "compiled": compiled}

    name = "a second start with all three models"
    goals = [
        Goal("seconds until ready", name, "seconds", 6, at_least=False),
        Goal("seconds until all is compiled", name, "compiled", 6, at_least=False),
    ]
    return Study("start", "Start", [Variant(name, start)], goals, notes)
