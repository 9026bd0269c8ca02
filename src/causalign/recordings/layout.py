"""The layout of samples: those of all trials in one row, trial after trial, without padding."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped


@dataclass(frozen=True, eq=False)
class Layout:
    """The samples of trials of unequal length, packed. A long trial takes no room in the others.

    Attributes:
        samples: The number of samples of each trial.
    """

    samples: Int[np.ndarray, " trials"]

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.samples)

    @property
    def time(self) -> int:
        """The number of samples of the longest trial."""
        return int(self.samples.max(initial=0))

    @property
    def total(self) -> int:
        """The number of samples of all trials."""
        return int(self.samples.sum())

    @cached_property
    def first(self) -> Int[np.ndarray, " trials"]:
        """The place of each trial's first sample."""
        return np.cumsum(self.samples) - self.samples

    @cached_property
    def trial(self) -> Int[np.ndarray, " samples"]:
        """The trial of each sample."""
        return np.repeat(np.arange(self.trials), self.samples)

    @cached_property
    def position(self) -> Int[np.ndarray, " samples"]:
        """The position of each sample in its trial."""
        return np.arange(self.total) - self.first[self.trial]

    def places(self, trials: Int[np.ndarray, " chosen"]) -> Int[np.ndarray, " places"]:
        """Return the places of all samples of some trials, in their order."""
        many = self.samples[trials]
        within = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        return np.repeat(self.first[trials], many) + within

    def of(self, trials: Int[np.ndarray, " chosen"]) -> "Layout":
        """Return the layout of some trials."""
        return Layout(self.samples[trials])

    def padded(self, packed: Shaped[np.ndarray, " samples"], time: int) -> Shaped[np.ndarray, "trials time"]:
        """Return packed entries as one row for each trial, padded with 0 to `time`."""
        rows = np.zeros((self.trials, time), packed.dtype)
        rows[self.trial, self.position] = packed
        return rows

    def last(self, chosen: Shaped[np.ndarray, " samples"]) -> Int[np.ndarray, " trials"]:
        """Return the number of samples of each trial up to the last one that is chosen; 0 where none is."""
        ends = np.zeros(self.trials, dtype=np.int64)
        np.maximum.at(ends, self.trial[chosen], self.position[chosen] + 1)
        return ends
