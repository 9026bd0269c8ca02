"""The journal of a call: the states of its searches on disk, from which the same call goes on after it was stopped.

A call runs its searches in the same order every time. Each has a number, and a file with its last state. When the call
is repeated, a search that had ended is restored and returns at once, and the one that was running goes on.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from causalign.errors import FileFormatError
from causalign.files import output_folder, read_header, read_tensors, write_tensors
from causalign.signal_delay import SignalDelay

SECONDS_APART = 30.0
"""Seconds between two checkpoints of a search."""
_ENTRY = "causalign"
_FORMAT = "checkpoint"


class State(NamedTuple):
    """The state of a search between two steps."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]
    """Values of JSON. Among them is the `step`."""


def within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix and a dot, named by the rest."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


@runtime_checkable
class Resumable(Protocol):
    """Work in steps whose state can be read between two of them, and restored."""

    def state(self) -> State:
        """Return the state."""

    def restore(self, state: State) -> None:
        """Go back to a state of the same work."""


class Place(NamedTuple):
    """How far a call has come: the number of its last search, from 1, and the step of that search."""

    search: int
    step: int

    def __str__(self) -> str:
        return f"step {self.step}" if self.search == 1 else f"step {self.step} of search {self.search}"


@dataclass
class Journal:
    """The journal of one call.

    Attributes:
        folder: The folder of the files. `None` keeps nothing.
        about: What the call computes: entries of JSON, the same whenever the call is repeated.
    """

    folder: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    _entries: int = 0

    @contextmanager
    def entry(self, work: Resumable) -> Iterator["Entry"]:
        """Yield the entry of the next search of the call. The search is restored first, if it has a state on disk.

        Signals that end the program wait while the search runs. Its state is written when the context ends, by an error
        too, unless that comes in the middle of a step.

        Raises:
            FileFormatError: A state cannot be read or written.
        """
        self._entries += 1
        if self.folder is None:
            yield Entry(work, None, self.about, SignalDelay())
            return
        output_folder(self.folder)
        with SignalDelay() as signals:
            entry = Entry(work, _file(self.folder, self._entries), self.about, signals)
            entry.restore()
            try:
                yield entry
            except BaseException as error:
                try:
                    entry.write()
                except FileFormatError as failure:
                    error.add_note(str(failure))
                raise
            entry.write()

    @property
    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        return self.folder is not None and bool(_files(self.folder))

    def is_own(self) -> bool:
        """Return whether every file is of this call.

        Raises:
            FileFormatError: A file is not whole.
        """
        about = json.loads(json.dumps(self.about))
        return all(_header(file)["about"] == about for file in _files(self.folder))

    def remove(self) -> None:
        """Delete the files, and the folder if nothing else is in it."""
        if self.folder is None or not self.folder.is_dir():
            return
        for file in (*self.folder.glob(".search-*.safetensors"), *_files(self.folder)):  # the former: killed in writing
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class Entry:
    """The state of one search on disk.

    Args:
        work: The search.
        file: The file of its state. `None` keeps nothing.
        about: What the call computes.
        signals: The signals that wait for the end of a step.
    """

    def __init__(self, work: Resumable, file: Path | None, about: Mapping[str, Any], signals: SignalDelay) -> None:
        self._work, self._file, self._about, self._signals = work, file, about, signals
        self._due = time.monotonic() + SECONDS_APART
        self._changed = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """A context in which the search has no state that could be restored, because it is in the middle of a step."""
        self._changed = False
        yield
        self._changed = True

    def keep(self) -> None:
        """Write the state if that is due. If a signal waits, write the state and let the signal through.

        Raises:
            FileFormatError: The file cannot be written.
        """
        if self._signals.waiting is not None:
            self.write()
            self._signals.release()
        elif time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the state, whole or not at all, if it has changed since it was written and is not amid a step.

        Raises:
            FileFormatError: The file cannot be written.
        """
        if self._file is None or not self._changed:
            return
        tensors, values = self._work.state()
        strides = {name: each.stride() for name, each in tensors.items() if not each.is_contiguous()}
        header = {"format": _FORMAT, "about": self._about, "values": values, "strides": strides}
        write_tensors(self._file, tensors, {_ENTRY: json.dumps(header)})
        self._changed, self._due = False, time.monotonic() + SECONDS_APART

    def restore(self) -> None:
        """Restore the search from its file, if there is one.

        Raises:
            FileFormatError: The file is not whole.
        """
        if self._file is None or not self._file.exists():
            return
        header = _header(self._file)
        tensors, _ = read_tensors(self._file, finite=False)  # a search that diverged is restored as it was
        for name, strides in header["strides"].items():  # the order of a sum, and so its rounding, is by the strides
            contiguous = tensors[name]
            tensors[name] = torch.empty_strided(contiguous.shape, strides, dtype=contiguous.dtype).copy_(contiguous)
        self._work.restore(State(tensors, header["values"]))


def place(folder: Path) -> Place | None:
    """Return how far the call has come whose journal is in a folder. `None` if there is no checkpoint.

    Raises:
        FileFormatError: The last file is not whole.
    """
    files = _files(folder)
    return Place(len(files), int(_header(files[-1])["values"]["step"])) if files else None


def _file(folder: Path, number: int) -> Path:
    return folder / f"search-{number:04}.safetensors"


def _files(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(folder.glob("search-*.safetensors"))


def _header(file: Path) -> dict[str, Any]:
    """Return what a file says about itself.

    Raises:
        FileFormatError: The file is not whole, or is no checkpoint.
    """
    try:
        header = json.loads(read_header(file).get(_ENTRY, "{}"))
        if header["format"] == _FORMAT:
            return dict(header)
    except (ValueError, KeyError, TypeError):
        pass
    raise FileFormatError(f"{file}: not the checkpoint of a search")
