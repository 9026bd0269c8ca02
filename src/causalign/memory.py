"""The memory that this process holds, and the memory of the machine."""

import os
import sys
from pathlib import Path

GIB = 2**30


def held() -> int:
    """Return the bytes of memory that this process holds. It is the peak where the system reports only that."""
    return _status("VmRSS") or most_held()


def most_held() -> int:
    """Return the peak memory of this process in bytes. It is 0 where the system does not report it."""
    own = _status("VmHWM")  # the figure of `resource` is inherited from the process that started this one
    if own:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(entry: str) -> int:
    """Return an entry of Linux's status of this process in bytes, or 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def physical() -> int | None:
    """Return the memory of the machine in bytes, or `None` where the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
