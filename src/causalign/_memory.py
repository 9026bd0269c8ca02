"""How much memory this process has held, and how much there is."""

import os
import sys

GIB = 2**30


def most_held() -> int:
    """The most bytes of memory that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def physical() -> int | None:
    """The machine's bytes of memory; none where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
