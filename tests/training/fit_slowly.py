"""Fits the toy problem slowly; run as a program by test_resume, which kills it in the middle of an epoch."""

import sys
import time
from pathlib import Path
from typing import Any

from toy import collate, fit_toy, options


def slowly(indices: Any, rng: Any) -> Any:
    time.sleep(0.05)
    return collate(indices, rng)


if __name__ == "__main__":
    fit_toy(options(Path(sys.argv[1]), epochs=int(sys.argv[2])), slowly)
