"""Recorded states in memory or in a file, which are read a few trials at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from causalign.errors import InvalidArgument

_BYTES = 2**24  # size of the trials that are read at once


class States(ABC):
    """The states of recorded trials, `[trials, time, units]`.

    All trials are padded to the longest. States are NaN where there is no sample.

    Args:
        trials: The number of trials.
        time: The number of samples of the longest trial.
        units: The names of the units.
        lengths: The number of samples of each trial, if it is known beforehand.

    Raises:
        InvalidArgument: There are no trials, no samples or no units.
    """

    def __init__(
        self, trials: int, time: int, units: Sequence[str], lengths: Int[np.ndarray, " trials"] | None = None
    ) -> None:
        self.trials, self.time, self.units = trials, time, tuple(units)
        self.lengths = lengths
        """The number of samples of each trial. `None` if it is not known beforehand."""
        if 0 in (trials, time, len(units)):
            raise InvalidArgument(f"a recording of {trials} trials, {time} samples and {len(units)} units is empty")

    @abstractmethod
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        """Return the states of some trials, in single precision."""

    def chunks(self) -> Iterator[Int[np.ndarray, " chosen"]]:
        """Yield the indices of all trials in order, in chunks that are read at once."""
        together = max(1, _BYTES // (self.time * len(self.units) * 4))
        for first in range(0, self.trials, together):
            yield np.arange(first, min(first + together, self.trials))


class ArrayStates(States):
    """The states of an array `[trials, time, units]` of numpy, h5py, or anything with the same slicing.

    Raises:
        InvalidArgument: The array has another shape, or `units` does not name each unit.
    """

    def __init__(self, array: Any, units: Sequence[str] | None = None) -> None:
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != 3:
            raise InvalidArgument(f"a recording must be an array [trials, time, units], found the shape {list(shape)}")
        if units is not None and len(units) != shape[2]:
            raise InvalidArgument(f"units must name each unit: found {len(units)} names for {shape[2]} units")
        super().__init__(shape[0], shape[1], units or [f"unit {index}" for index in range(shape[2])])
        self._array = array

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        states = np.empty((len(trials), self.time, len(self.units)), dtype=np.float32)
        breaks = np.flatnonzero(np.diff(trials) != 1) + 1  # consecutive trials are read in one slice
        for places in np.split(np.arange(len(trials)), breaks):
            states[places] = self._array[trials[places[0]] : trials[places[-1]] + 1]
        return states
