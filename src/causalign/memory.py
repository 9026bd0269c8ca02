"""How much memory this process has held, and how much there is."""

import os
import sys
from pathlib import Path

GIB = 2**30


def held() -> int:
    """Bytes of memory that this process holds; the most it has held, where the system says only that."""
    return _status("VmRSS") or most_held()


def most_held() -> int:
    """The most bytes of memory that this process has held so far; 0 where the system does not say."""
    own = _status("VmHWM")  # what `resource` says is inherited from the process that started this one
    if own:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(entry: str) -> int:
    """Bytes, from Linux's account of this process; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def physical() -> int | None:
    """The machine's bytes of memory; none where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
