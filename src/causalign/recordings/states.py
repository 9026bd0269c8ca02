"""Recorded states, wherever they are: in memory or in a file, they are read a few trials at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from causalign.errors import InvalidArgument

_BYTES = 2**24  # read together


class States(ABC):
    """The states of recorded trials, all of them as long as the longest: NaN where there is no sample."""

    def __init__(
        self, trials: int, time: int, units: Sequence[str], lengths: Int[np.ndarray, " trials"] | None = None
    ) -> None:
        self.trials, self.time, self.units = trials, time, tuple(units)
        self.lengths = lengths
        """Samples of each trial, where that is known beforehand."""
        if 0 in (trials, time, len(units)):
            raise InvalidArgument(f"a recording of {trials} trials, {time} samples and {len(units)} units is empty")

    @abstractmethod
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        """The states of some trials, in single precision."""

    def chunks(self) -> Iterator[Int[np.ndarray, " chosen"]]:
        """All trials in order, as many at a time as are read together."""
        together = max(1, _BYTES // (self.time * len(self.units) * 4))
        for first in range(0, self.trials, together):
            yield np.arange(first, min(first + together, self.trials))


class ArrayStates(States):
    """An array `[trials, time, units]`, of numpy, h5py, or anything that is sliced alike."""

    def __init__(self, array: Any, units: Sequence[str] | None = None) -> None:
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != 3:
            raise InvalidArgument(f"a recording is an array [trials, time, units], found the shape {list(shape)}")
        if units is not None and len(units) != shape[2]:
            raise InvalidArgument(f"name each unit: found {len(units)} names for {shape[2]} units")
        super().__init__(shape[0], shape[1], units or [f"unit {index}" for index in range(shape[2])])
        self._array = array

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        states = np.empty((len(trials), self.time, len(self.units)), dtype=np.float32)
        breaks = np.flatnonzero(np.diff(trials) != 1) + 1  # what lies together is read together
        for places in np.split(np.arange(len(trials)), breaks):
            states[places] = self._array[trials[places[0]] : trials[places[-1]] + 1]
        return states
