"""Storage of tables: in memory up to a budget, and beyond it in temporary files that are mapped into memory."""

import ctypes
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from typing import IO
from weakref import WeakSet

import torch
from torch import Tensor

from causalign.errors import OutOfMemory
from causalign.memory import GIB

DEFAULT_BUDGET = 4.0
_ROWS = 64
_mapped: WeakSet[mmap.mmap] = WeakSet()


class Store:
    """A store of tables: at most `budget` GiB of them are in memory, and the others in mapped files.

    Of mapped tables, a process holds only the pages that it has just touched. A mapped table is an ordinary CPU tensor.
    Its file has no name, so it disappears with the last tensor, however the process ends.

    Args:
        budget: The memory for tables, in GiB.
    """

    def __init__(self, budget: float = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self._left = budget * GIB

    def _give_back(self, size: int) -> None:
        self._left += size

    def table(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a table of zeros.

        Raises:
            OutOfMemory: Neither the memory nor the disk has room for it.
        """
        size = prod(shape) * dtype.itemsize
        if size <= self._left:
            self._left -= size
            table = torch.zeros(*shape, dtype=dtype, device=device)
            weakref.finalize(table.untyped_storage(), self._give_back, size)
            return table
        return _in_a_file(size, dtype).view(*shape)

    def near(self, table: Tensor, device: torch.device) -> Tensor:
        """Return a table of a mapped file on a device, if that is another one and the memory allowed has room for it.

        Otherwise return the table itself.
        """
        if device == table.device or table.nbytes > self._left:
            return table
        return self.table(table.shape, table.dtype, device).copy_(table)

    def columns(self, parts: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
        """Return tables with the same rows, which are columns of one table.

        The columns of a row lie together, so that reading a row of a mapped table touches only its page.

        Args:
            parts: The parts of each table, by name. They are concatenated and padded with zeros to the widest.

        Raises:
            OutOfMemory: Neither the memory nor the disk has room for the tables.
        """
        firsts = {name: of[0] for name, of in parts.items()}
        inner = {
            name: [max(sizes) for sizes in zip(*(p.shape[1:] for p in of), strict=True)] for name, of in parts.items()
        }
        size = {name: prod(inner[name]) * first.element_size() for name, first in firsts.items()}
        in_order = sorted(
            parts, key=lambda name: -firsts[name].element_size()
        )  # widest entries first, so that each column is aligned
        widest = firsts[in_order[0]].element_size()
        rows = sum(len(part) for part in parts[in_order[0]])
        width = -(-sum(size.values()) // widest) * widest
        table = self.table([rows, width], torch.uint8, firsts[in_order[0]].device)
        columns, begin = {}, 0
        for name in in_order:
            of_type = table.view(firsts[name].dtype)
            each = firsts[name].element_size()
            columns[name] = of_type[:, begin // each : (begin + size[name]) // each].unflatten(1, inner[name] or [1])
            if not inner[name]:
                columns[name] = columns[name].squeeze(1)
            begin += size[name]
            _fill(columns[name], parts[name])
        return columns


def _fill(table: Tensor, parts: Sequence[Tensor]) -> None:
    first = 0
    for part in parts:
        table[(slice(first, first + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        first += len(part)
        forget_mapped_pages()


def _in_a_file(size: int, dtype: torch.dtype) -> Tensor:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if size > free:
                raise OSError
            reserve(file, size)
        except OSError:
            raise OutOfMemory(
                f"a table of {size / GIB:.1f} GiB fits neither into the memory allowed nor on the disk of {folder} "
                f"({free / GIB:.1f} GiB free): set TMPDIR to another disk, or use fewer rows"
            ) from None
        mapped = mmap.mmap(file.fileno(), size)
    watch_pages(mapped)
    return torch.frombuffer(mapped, dtype=dtype)


def reserve(file: IO[bytes], size: int) -> None:
    """Give a file a size, with space on the disk: without it, a full disk would kill the process later.

    Raises:
        OSError: The disk has no room for it.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def watch_pages(mapped: mmap.mmap) -> None:
    """Let `forget_mapped_pages` release the pages of a mapped file."""
    _mapped.add(mapped)


def rows_of(tables: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Return `table[index]` of each table, on the tables' device. Rows of mapped tables are read a few at a time.

    Each row that is touched brings up to a mebibyte of its file into memory, and a large batch would hold all of it.
    """
    index = index.to(next(iter(tables.values())).device).long()
    if not _mapped or len(index) <= _ROWS:
        return {name: table[index] for name, table in tables.items()}
    rows = {name: table.new_empty(*index.shape, *table.shape[1:]) for name, table in tables.items()}
    for first in range(0, len(index), _ROWS):
        chunk = slice(first, first + _ROWS)
        for name, table in tables.items():
            rows[name][chunk] = table[index[chunk]]
        forget_mapped_pages()
    return rows


def forget_mapped_pages() -> None:
    """Release the pages of mapped tables that were touched. They are read again when they are needed."""
    for mapped in list(_mapped):
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # not glibc


def release_freed_memory() -> None:
    """Return the memory of freed tensors and the touched pages of mapped tables to the system.

    The tensors of every step differ in size, so that glibc's heap fills with gaps. Without this function a long search
    held several times the memory it used, and kept growing.
    """
    forget_mapped_pages()
    trim = _trim()
    if trim is not None:
        trim(0)
