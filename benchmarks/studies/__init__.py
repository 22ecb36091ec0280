"""What can be measured, by name: each study starts what it compares and checks its answers first."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from benchmarks.rounds import Study
from benchmarks.studies import batch, memory, open_loop, single, sketches, start, video, workers
from benchmarks.studies.setting import Setting

STUDIES: Mapping[str, Callable[[ExitStack, Setting], Study]] = {
    "single": single.prepare,
    "batch": batch.prepare,
    "sketches": sketches.prepare,
    "video": video.prepare,
    "memory": memory.prepare,
    "open_loop": open_loop.prepare,
    "workers": workers.prepare,
    "start": start.prepare,
}
