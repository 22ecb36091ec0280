"""Exports a tiny model; run as a program by test_saving, which kills it in the middle."""

import sys
from pathlib import Path

from tiny import export_tiny

if __name__ == "__main__":
    print("ready", flush=True)
    export_tiny(Path(sys.argv[1]))
