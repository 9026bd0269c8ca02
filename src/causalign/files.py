"""Files that are written whole or not at all, and read with errors that a user can act on."""

import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from causalign.errors import FileFormatError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    What processes of this machine left beside the path when they were killed here is deleted first.

    Raises:
        FileFormatError: The temporary file cannot be written, or cannot replace `path`.
    """
    _remove_abandoned(path)
    prefix = f".{path.name}.{_machine()}-{os.getpid()}-"
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # after a power cut, too, the file is whole
        temporary.chmod(0o666 & ~current_umask())  # mkstemp's files are private, but results are meant to be shared
        temporary.replace(path)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Delete the temporary files of a path whose processes have ended. Those of other machines may be in use."""
    for temporary in path.parent.glob(f".{escape(path.name)}.{_machine()}-*"):
        process = temporary.name.removeprefix(f".{path.name}.{_machine()}-").partition("-")[0]
        if process.isdigit() and not _runs(int(process)):
            temporary.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


@cache
def _machine() -> str:
    """Return a short name of this machine that can stand in a file name."""
    return sha256(platform.node().encode()).hexdigest()[:8]


def remove_temporaries(path: Path) -> None:
    """Delete what `atomic_write` leaves beside a path where the program is killed within it."""
    for temporary in path.parent.glob(f".{escape(path.name)}.*"):
        temporary.unlink(missing_ok=True)


def current_umask() -> int:
    """Return the permission bits that new files lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all.

    Raises:
        FileFormatError: The file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all.

    The same tensors give the same bytes. Several entries of metadata come in any order, so results have at most one.

    Raises:
        FileFormatError: The file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(contiguous, dict(metadata) if metadata else None))


def read_tensors(path: Path, finite: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Args:
        path: The file.
        finite: Whether all entries must be finite.

    Raises:
        FileFormatError: The file is missing, truncated or not a safetensors file, or a tensor that must be finite has
            NaN or infinite entries.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is not a mapping)
        metadata = dict(file.metadata() or {})
    for name, tensor in tensors.items():
        if finite and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise FileFormatError(f"{path}: tensor {name!r} has NaN or infinite entries")
    return tensors, metadata


def read_header(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file.

    Raises:
        FileFormatError: The file is missing, truncated or not a safetensors file.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise FileFormatError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path}: not a whole safetensors file ({error})") from None


def output_folder(path: Path, *files: str) -> Path:
    """Create a folder if it does not exist, check that `files` can be written in it, and return it.

    The check comes before the work, so that no result is lost.

    Raises:
        FileFormatError: The path is a file, the folder cannot be created or written to, or one of `files` is a folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise FileFormatError(f"cannot write to the folder {path}: {error.strerror or error}") from None
    for file in files:
        if (path / file).is_dir():
            raise FileFormatError(f"cannot write {path / file}: it is a folder")
    return path
