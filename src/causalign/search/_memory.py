"""Memory that the C library holds back."""

import ctypes
from functools import cache

from causalign.interchange import forget_mapped_pages


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # not glibc


def release_freed_memory() -> None:
    """Hand the memory of freed tensors back to the system.

    A step's tensors have another size every time, so that glibc's heap fills with gaps: without this a long search held
    several times the memory it used, and kept growing. Likewise pages of tables that lie in files.
    """
    forget_mapped_pages()
    trim = _trim()
    if trim is not None:
        trim(0)
