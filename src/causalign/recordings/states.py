"""Recorded states in memory or in a file, which are read a few trials at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from causalign.arrays import float64
from causalign.errors import InvalidArgument
from causalign.recordings.layout import Layout

_BYTES = 2**25  # size of the trials that are read at once

ReadStates = Float[np.ndarray, "chosen time units"]
"""The states of some trials in double precision, padded with NaN to the longest of them."""


class States(ABC):
    """The states of recorded trials. They are NaN where there is no sample.

    Args:
        samples: The number of samples of each trial.
        units: The names of the units.
        open_ended: Whether a trial may end before its last sample: with the last one at which every unit has a value.

    Raises:
        InvalidArgument: There are no trials, no samples or no units.
    """

    def __init__(self, samples: Int[np.ndarray, " trials"], units: Sequence[str], open_ended: bool = False) -> None:
        self.layout, self.units, self.open_ended = Layout(samples), tuple(units), open_ended
        if 0 in (len(samples), self.layout.time, len(units)):
            raise InvalidArgument(
                f"a recording of {len(samples)} trials, {self.layout.time} samples and {len(units)} units is empty"
            )

    @property
    def trials(self) -> int:
        """The number of trials."""
        return self.layout.trials

    @property
    def time(self) -> int:
        """The number of samples of the longest trial."""
        return self.layout.time

    @abstractmethod
    def read(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        """Return the states of some trials."""

    def empty(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        """Return missing states for some trials, to be filled."""
        return np.full((len(trials), self.layout.of(trials).time, len(self.units)), np.nan)

    def chunks(self) -> Iterator[Int[np.ndarray, " chosen"]]:
        """Yield the indices of all trials in order, in chunks that are read at once."""
        most = max(1, _BYTES // (len(self.units) * 8))
        first, longest = 0, 0
        for trial, samples in enumerate(self.layout.samples):
            longest = max(longest, int(samples))
            if trial > first and longest * (trial + 1 - first) > most:
                yield np.arange(first, trial)
                first, longest = trial, int(samples)
        yield np.arange(first, self.trials)


class ArrayStates(States):
    """The states of an array `[trials, time, units]` of numpy, torch, h5py, or anything with the same slicing.

    Raises:
        InvalidArgument: The array has another shape or is not of real numbers, or `units` does not name each unit.
    """

    def __init__(self, array: Any, units: Sequence[str] | None = None) -> None:
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != 3:
            raise InvalidArgument(f"a recording must be an array [trials, time, units], found the shape {list(shape)}")
        super().__init__(np.full(shape[0], shape[1]), unit_names(units, shape[2]), open_ended=True)
        self._array = array
        float64(array[:1], "the recording")

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        states = self.empty(trials)
        breaks = np.flatnonzero(np.diff(trials) != 1) + 1  # consecutive trials are read in one slice
        for places in np.split(np.arange(len(trials)), breaks):
            states[places] = float64(self._array[trials[places[0]] : trials[places[-1]] + 1], "the recording")
        return states


class TrialListStates(States):
    """The states of a list of arrays `[time, units]`, one for each trial. Trials may differ in length.

    Raises:
        InvalidArgument: A trial is not a matrix of real numbers, or the trials have different units.
    """

    def __init__(self, trials: Sequence[Any], units: Sequence[str] | None = None) -> None:
        self._trials = [float64(trial, f"trial {index} of the recording") for index, trial in enumerate(trials)]
        for index, trial in enumerate(self._trials):
            if trial.ndim != 2 or trial.shape[1] != self._trials[0].shape[-1]:
                raise InvalidArgument(
                    f"trial {index} of the recording has the shape {list(trial.shape)}; expected [time, units], with "
                    "the same units in every trial"
                )
        width = self._trials[0].shape[1] if self._trials else 0
        super().__init__(np.array([len(trial) for trial in self._trials], int), unit_names(units, width), True)

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        states = self.empty(trials)
        for row, trial in enumerate(trials):
            states[row, : len(self._trials[trial])] = self._trials[trial]
        return states


def states_of(array: Any, units: Sequence[str] | None) -> States:
    """Return the states of an array `[trials, time, units]`, or of a list of trials `[time, units]`.

    Raises:
        InvalidArgument: The states have another shape or are not real numbers, or `units` does not name each unit.
    """
    if isinstance(array, States):
        if units is not None:
            raise InvalidArgument("units names the units of an array; these states have names of their own")
        return array
    ragged = isinstance(array, np.ndarray) and array.dtype == object and array.ndim == 1
    if isinstance(array, list | tuple) or ragged:
        return TrialListStates(list(array), units)
    return ArrayStates(array, units)


def unit_names(units: Sequence[str] | None, width: int) -> list[str]:
    """Return the names of the units: those that are given, or `unit 0`, `unit 1`, ...

    Raises:
        InvalidArgument: The names are not one for each unit.
    """
    if units is None:
        return [f"unit {index}" for index in range(width)]
    if isinstance(units, str) or len(units) != width:
        raise InvalidArgument(f"units must name each unit: found {len(units)} names for {width} units")
    return [str(unit) for unit in units]
