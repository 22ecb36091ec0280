"""Loads a model, compiles it, asks it and unloads it, again and again, and prints the resident memory.

    python load_rounds.py DIRECTORY ROUNDS

DIRECTORY holds the model "affine". Two lines come out: bytes after round 20, and bytes after the last one.
"""

import asyncio
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from serving.engine import Engine, InferRequest
from serving.repository import Repository
from serving.servables.servable import LoadOptions, load_servable
from serving.threads import forget_imports

SETTLED_AFTER = 20


async def main(base: Path, rounds: int) -> None:
    forget_imports()
    repository = Repository(base, lambda *version: load_servable(*version, LoadOptions(threads=1)), poll_seconds=0)
    engine = Engine(repository)
    await repository.start()
    for count in range(1, rounds + 1):
        await repository.load("affine", time.monotonic() + 60)
        await repository.get("affine").compiled(repository._models["affine"]._compiler)
        await engine.infer(InferRequest("affine", {"x": np.ones((1, 3), "f")}))
        await repository.unload("affine", time.monotonic() + 60)
        if count in (SETTLED_AFTER, rounds):
            print(psutil.Process().memory_info().rss, flush=True)
    await repository.stop(1)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
