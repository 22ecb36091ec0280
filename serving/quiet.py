"""Imports TensorFlow without its chatter; the one place that knows how to hush it."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_CHATTER = re.compile(r"WARNING: All log messages before absl|[IWE]\d{4} |To enable the following instructions")
# Its errors reach us as exceptions; what it logs as one is mostly that there is no graphics card.
_FATAL_ONLY = "3"
# TensorFlow imports it only so that it registers itself, and a server has no use for it: a third of the whole time.
_KERAS = "keras.src.optimizers"


@contextlib.contextmanager
def tensorflow() -> Iterator[None]:
    """Around the first import of TensorFlow in a process.

    Its libraries write notices straight to the process's standard error while they load, before any log level
    counts, so that is held back; what is not such a notice is written afterwards. A log level that the
    environment names is left as it is.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _FATAL_ONLY)
    with _without(_KERAS), tempfile.TemporaryFile("w+", errors="replace") as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            sys.stderr.writelines(line for line in held if not _CHATTER.match(line))
            sys.stderr.flush()


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """To import this module fails in the block, as if it were not installed, unless it has been imported before."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # as the language's reference has it
    try:
        yield
    finally:
        del sys.modules[module]
