"""Where tables live: in memory up to a budget, and beyond it in temporary files that are mapped into memory."""

import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from math import prod
from weakref import WeakSet

import torch
from torch import Tensor

from causalign._memory import GIB
from causalign.errors import CausalignError

DEFAULT_BUDGET = 4.0
_mapped: WeakSet[mmap.mmap] = WeakSet()


class Store:
    """Makes tables. A process holds at most `budget` GiB of them, and of the others only what it has just touched.

    A mapped table is an ordinary CPU tensor. Its file has no name: it is gone with the last tensor, however the
    process ends.
    """

    def __init__(self, budget: float = DEFAULT_BUDGET) -> None:
        self._left = budget * GIB

    def table(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """A table of zeros.

        Raises:
            CausalignError: neither memory nor the disk has room for it.
        """
        size = prod(shape) * dtype.itemsize
        if size <= self._left:
            self._left -= size
            return torch.zeros(*shape, dtype=dtype, device=device)
        return _in_a_file(size, dtype).view(*shape)

    def stacked(self, parts: Sequence[Tensor]) -> Tensor:
        """One after another, the second dimension of all but vectors widened with zeros to the widest."""
        rows = sum(len(part) for part in parts)
        inner = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
        table = self.table([rows, *inner], parts[0].dtype, parts[0].device)
        first = 0
        for part in parts:
            table[(slice(first, first + len(part)), *(slice(size) for size in part.shape[1:]))] = part
            first += len(part)
            forget_mapped_pages()
        return table


def _in_a_file(size: int, dtype: torch.dtype) -> Tensor:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if size > free:
                raise OSError
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # what was only promised would kill the process later
            else:
                file.truncate(size)
        except OSError:
            raise CausalignError(
                f"a table of {size / GIB:.1f} GiB fits neither into the memory allowed nor on the disk of {folder} "
                f"({free / GIB:.1f} GiB free): set TMPDIR to another disk, or use fewer interventions"
            ) from None
        mapped = mmap.mmap(file.fileno(), size)
    _mapped.add(mapped)
    return torch.frombuffer(mapped, dtype=dtype)


def forget_mapped_pages() -> None:
    """Let go of the pages of mapped tables that were touched; they are read again when they are needed."""
    for mapped in list(_mapped):
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)
