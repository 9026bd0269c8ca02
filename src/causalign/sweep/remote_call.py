"""A call on another machine: its folder, its threads, and its path back."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from causalign.errors import InvalidArgument


@dataclass(frozen=True)
class RemoteCall:
    """A call on another machine.

    Attributes:
        threads: The number of the processor's threads that it may use.
        folder: The current folder of the machine that runs the sweep. References to files may be relative to it.
    """

    threads: int
    folder: Path

    @classmethod
    def of(cls, threads: int) -> "RemoteCall":
        """Return a call from the current folder."""
        return cls(threads, Path.cwd())

    def __call__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        with suppress(OSError):  # a machine without the folder can still run points whose files have absolute paths
            os.chdir(self.folder)
        torch.set_num_threads(self.threads)
        return fn(*args, **kwargs)


def unsendable(error: Exception) -> InvalidArgument:
    """Return the error for a call that cannot be sent to another machine."""
    cause = f" ({error})" if "\n" not in str(error) else ""  # Ray draws a tree of what it tried
    return InvalidArgument(
        f"the sites or the dataset cannot be sent to other machines{cause}: name the sites by reference"
    )
