"""Tables in files: a safetensors file each, written whole or not at all, and mapped into memory.

A table is filled in a file beside the final one, which takes its name when it is whole. Processes that map a file share
its pages.
"""

import errno
import json
import logging
import mmap
import shutil
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from causalign.errors import FileFormatError, OutOfMemory
from causalign.memory import GIB
from causalign.storage import reserve, watch_pages

_NAME = "table"
_ALIGNED = 64
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_log = logging.getLogger("causalign")


class TableFile:
    """A table of zeros in a new file, to be filled.

    Args:
        path: The path of the file once the table is whole.
        shape: The shape of the table, which has entries.
        dtype: The type of its entries.

    Attributes:
        table: The table, which is mapped from the file.

    Raises:
        FileFormatError: The file cannot be made.
        OutOfMemory: The disk has no room for it.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.path, self._part = path, path.with_suffix(".part")
        size = prod(shape) * dtype.itemsize
        header = _header(shape, dtype, size)
        try:
            with self._part.open("w+b") as file:
                reserve(file, len(header) + size)
                file.write(header)
                file.flush()
                self._mapped = mmap.mmap(file.fileno(), len(header) + size)
        except OSError as error:
            self.discard()
            if error.errno in _FULL:
                raise OutOfMemory(
                    f"readings of {size / GIB:.2g} GiB do not fit on the disk of {path.parent} "
                    f"({shutil.disk_usage(path.parent).free / GIB:.2g} GiB free): take a folder on another disk, or "
                    "fewer sites or rows"
                ) from None
            raise FileFormatError(f"cannot write {path}: {error.strerror or error}") from None
        watch_pages(self._mapped)
        self.table = torch.frombuffer(self._mapped, dtype=dtype, count=prod(shape), offset=len(header)).view(*shape)

    def keep(self) -> None:
        """Give the file its name.

        Raises:
            FileFormatError: The file cannot be written.
        """
        try:
            self._mapped.flush()
            self._part.replace(self.path)
        except OSError as error:
            self.discard()
            raise FileFormatError(f"cannot write {self.path}: {error.strerror or error}") from None

    def discard(self) -> None:
        """Remove the file, unless it has its name already."""
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def load_table(path: Path, shape: Sequence[int], dtype: torch.dtype) -> Tensor | None:
    """Return a table, mapped from its file; `None` if there is no file, or it is not whole and of this shape and type.

    The size of the file is checked against its header, and both against what is expected. A broken file is logged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            table: Tensor = file.get_tensor(_NAME)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError) as error:
        _log.warning("%s is broken and is read anew (%s)", path, error)
        return None
    if list(table.shape) != list(shape) or table.dtype != dtype:
        _log.warning(
            "%s has a table %s of %s, not %s of %s, and is read anew",
            path,
            [*table.shape],
            table.dtype,
            [*shape],
            dtype,
        )
        return None
    return table


def _header(shape: Sequence[int], dtype: torch.dtype, size: int) -> bytes:
    """Return the header of a safetensors file with one table."""
    entry = {"dtype": _TYPES[dtype], "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({_NAME: entry}).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text
