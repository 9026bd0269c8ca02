"""The request of a reading: the inputs, and the places whose states are kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from causalign.sites.readable import Readable

_CHUNK = 1024  # most inputs that are read at a time
_BYTES = 2**25  # most bytes that their states may take


@dataclass(frozen=True, eq=False)
class ReadingRequest:
    """The inputs that are read, and what is kept of them. Tables have no entries for pads."""

    inputs: Callable[[Int[np.ndarray, " chunk"], int], Any]
    """A function from the indices of some inputs, and the number of positions, to what `Site.read` takes."""
    present: Bool[np.ndarray, "inputs time"]
    """The positions that exist in each input. The prefix has an entry for each, up to the last."""
    kept: Bool[np.ndarray, "inputs positions"]
    """The positions whose states are kept."""
    stepwise: bool = False
    """Whether swaps are stepwise, which the prefix depends on."""
    with_prefix: bool = True
    """Whether the prefix is kept, for a target."""
    at_once: int | None = None
    """The number of inputs that are read at a time. By default, as many as their states' size allows."""

    @cached_property
    def lengths(self) -> Int[np.ndarray, " inputs"]:
        """The number of positions of each input."""
        there = self.present
        return np.where(there.any(axis=1), there.shape[1] - there[:, ::-1].argmax(axis=1), 0)

    @cached_property
    def starts(self) -> Int[np.ndarray, " inputs"]:
        """The entry of each input's first position in the prefix."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def _counts(self) -> Int[np.ndarray, " inputs"]:
        return self.kept.sum(axis=1)

    @property
    def states(self) -> int:
        """The number of states that are kept."""
        return int(self._counts.sum())

    def step(self, site: Readable) -> int:
        """Return the number of inputs that are read at a time for a site."""
        if self.at_once is not None:
            return self.at_once
        return max(1, min(_CHUNK, _BYTES // (self.kept.shape[1] * site.width * site.dtype.itemsize)))

    def chunks(self, step: int = _CHUNK) -> Iterator[tuple[Int[np.ndarray, " chunk"], int]]:
        """Yield the indices of inputs that are read together, of similar length, and their largest length."""
        order = np.argsort(self.lengths, kind="stable")
        for first in range(0, len(order), step):
            chunk = order[first : first + step]
            yield chunk, int(self.lengths[chunk].max())

    def state_entries(self, chunk: Int[np.ndarray, " chunk"]) -> Int[Tensor, " entries"]:
        """Return the entries of some inputs in the table of states."""
        firsts = np.cumsum(self._counts) - self._counts
        return _entries(firsts[chunk], self._counts[chunk])

    def prefix_entries(self, chunk: Int[np.ndarray, " chunk"]) -> Int[Tensor, " entries"]:
        """Return the entries of some inputs in the tables of the prefix."""
        return _entries(self.starts[chunk], self.lengths[chunk])


def _entries(firsts: Int[np.ndarray, " chunk"], many: Int[np.ndarray, " chunk"]) -> Int[Tensor, " entries"]:
    """Return the entries of a packed table that belong to some inputs."""
    within = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    return torch.from_numpy(np.repeat(firsts, many) + within)
