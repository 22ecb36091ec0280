"""Searches a toy problem slowly; run as a program by test_search, which kills it in the middle of a trial."""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from training.search import open_study, optimise
from training.search_spaces import Range, Space, Value

SPACE = Space(monitor="loss", mode="min", options={"place": Range(-2.0, 2.0)})


def parabola(options: Mapping[str, Value], place: Path) -> Iterator[float]:
    """Four epochs that come closer to a minimum at 1; notes each, and how often it was begun, in its folder."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "begun").write_text("twice" if (place / "begun").exists() else "once")
    for epoch in range(4):
        (place / str(epoch)).touch()
        yield (float(options["place"]) - 1) ** 2 + 1 / (epoch + 2) - 0.2


def slowly(options: Mapping[str, Value], place: Path) -> Iterator[float]:
    for score in parabola(options, place):
        time.sleep(0.2)
        yield score


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    study = open_study(folder, SPACE, sampler="tpe", pruner="none", asked=["toy"])
    optimise(study, SPACE, slowly, folder, trials=int(sys.argv[2]))
