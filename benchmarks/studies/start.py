"""Seconds from the command to a server that is ready, and to one that has compiled everything."""

import time
from contextlib import ExitStack

from benchmarks.load import Figures
from benchmarks.ours import serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting


def prepare(_: ExitStack, setting: Setting) -> Study:
    """The first round, which warms up, is the first start on a machine whose files are in memory already."""

    def start(_: float) -> Figures:
        began = time.monotonic()
        with serving(setting.models, setting.flags, setting.logs / "start.log", wait=False) as ours:
            ready = time.monotonic() - began
            ours.compiled()
            return {"seconds": ready, "compiled": time.monotonic() - began}

    name = "a start with all three models"
    goals = [
        Goal("seconds until ready", name, "seconds", 6, at_least=False),
        Goal("seconds until all is compiled", name, "compiled", 6, at_least=False),
    ]
    return Study("start", "Start", [Variant(name, start)], goals)
