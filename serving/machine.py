"""What this process may use of the machine: cores, memory, graphics cards; read from the kernel, cheap."""

import os
from pathlib import Path

WORKER_BYTES = 2 << 30
"""What a worker with TensorFlow and a few small models keeps resident, rounded up."""

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Whole cores: the process's affinity, lowered by a container's quota; at least one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        count = min(count, int(quota) // int(period))
    return max(1, count)


def memory() -> int:
    """Bytes of memory: the machine's, lowered by a container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(_CGROUP / "memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def gpus() -> int:
    """NVIDIA cards that this process may see, without loading a driver library."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        present = len(list(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        present = int(Path("/dev/dxg").exists())  # Windows' cards, as its Linux subsystem shows them
    if visible is None:
        return present
    named = [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return min(present, len(named))


def default_workers() -> int:
    """One worker a core on a CPU, as far as memory goes; one on a GPU, where workers would share the card."""
    if gpus():
        return 1
    return max(1, min(cores(), memory() // WORKER_BYTES))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
