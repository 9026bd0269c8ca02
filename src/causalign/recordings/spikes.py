"""Point processes, such as the spikes of units or the licks of an animal, counted in bins of time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.recordings.states import ReadStates, States
from causalign.recordings.windows import Windows

_ROUNDING = 1e-9  # seconds
_HELD = 2**25  # times that are kept in memory: 256 MiB

Times = Float[np.ndarray, " times"]


class PointProcesses(ABC):
    """The times at which each of some units fires, and the intervals in which it was observed."""

    names: Sequence[str]

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.names)

    @abstractmethod
    def times(self, unit: int) -> Times:
        """Return the times of a unit, in any order."""

    @abstractmethod
    def observed(self, unit: int) -> Float[np.ndarray, "intervals 2"] | None:
        """Return the intervals in which a unit was observed, in order and disjoint. `None` if they are not known."""

    @property
    def span(self) -> tuple[float, float]:
        """The first and the last time at which a unit is known to have been observed; infinite if none is known."""
        first, last = np.inf, -np.inf
        for unit in range(len(self)):
            seen = self.observed(unit)
            times = self.times(unit) if seen is None else seen
            first, last = min(first, times.min(initial=np.inf)), max(last, times.max(initial=-np.inf))
        return float(first), float(last)


class Spikes(PointProcesses):
    """The spikes of some units of a session.

    Args:
        table: The table of units of pynwb.
        chosen: The index of each unit in it.
        names: The name of each unit.

    Raises:
        InvalidArgument: A unit was never observed, according to the table.
    """

    def __init__(self, table: Any, chosen: Int[np.ndarray, " units"], names: Sequence[str]) -> None:
        self._table, self._chosen, self.names = table, chosen, names
        self._observed = _observed(table, chosen)
        never = [name for name, seen in zip(names, self._observed or [], strict=False) if not len(seen)]
        if never:
            raise InvalidArgument(
                f"{len(never)} units have no interval in which they were observed (obs_intervals): "
                f"{', '.join(never[:5])}; leave them out, with units="
            )

    @override
    def times(self, unit: int) -> Times:
        return np.asarray(self._table.get_unit_spike_times(int(self._chosen[unit])), dtype=np.float64)

    @override
    def observed(self, unit: int) -> Float[np.ndarray, "intervals 2"] | None:
        return None if self._observed is None else self._observed[unit]


def _observed(table: Any, chosen: Int[np.ndarray, " units"]) -> list[Float[np.ndarray, "_ 2"]] | None:
    if "obs_intervals" not in table.colnames:
        return None
    read = (np.asarray(table.get_unit_obs_intervals(int(unit)), dtype=np.float64) for unit in chosen)
    return [united(intervals.reshape(-1, 2)) for intervals in read]


class Events(PointProcesses):
    """The times of the samples of some series: each series is a unit that fires at these times.

    Args:
        series: The series of pynwb, by name.

    Raises:
        InvalidArgument: A series has a rate rather than timestamps.
    """

    def __init__(self, series: Mapping[str, Any]) -> None:
        self.names, self._series = list(series), list(series.values())
        for name, each in series.items():
            if each.timestamps is None:
                raise InvalidArgument(
                    f"the series {name!r} has a rate, and is no series of events: use series={name!r}"
                )

    @override
    def times(self, unit: int) -> Times:
        times = np.asarray(self._series[unit].timestamps, dtype=np.float64)
        return times[np.isfinite(times)]

    @override
    def observed(self, unit: int) -> None:
        return None


class CountStates(States):
    """The number of events of each unit in each bin of each trial.

    If the intervals in which a unit was observed are known, a bin that is not within one of them is missing (NaN).
    """

    def __init__(self, processes: PointProcesses, windows: Windows) -> None:
        super().__init__(windows.samples, processes.names)
        self._processes, self._windows = processes, windows
        self._held: dict[int, Times] = {}

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        counts = self.empty(trials)
        time = counts.shape[1]
        edges = self._windows.start[trials][:, None] + np.arange(time + 1) * self._windows.step
        over = np.arange(time) >= self._windows.samples[trials][:, None]
        for unit in range(len(self.units)):
            of_unit = np.diff(np.searchsorted(self._times(unit), edges), axis=1).astype(np.float64)
            seen = self._processes.observed(unit)
            if seen is not None:
                of_unit[~_within(edges, seen)] = np.nan
            counts[..., unit] = of_unit
        counts[over] = np.nan
        return counts

    def _times(self, unit: int) -> Times:
        """Return the sorted times of a unit that are within a window, which are kept as long as there is room."""
        if unit in self._held:
            return self._held[unit]
        times = np.sort(self._processes.times(unit))
        first, last = self._ranges
        nearest = np.maximum(np.searchsorted(first, times, side="right") - 1, 0)
        times = times[(times >= first[nearest]) & (times <= last[nearest])]
        if sum(map(len, self._held.values())) + len(times) <= _HELD:
            self._held[unit] = times
        return times

    @cached_property
    def _ranges(self) -> tuple[Times, Times]:
        """The starts and the ends of all windows, united."""
        windows = self._windows
        both = united(np.stack([windows.start, windows.start + windows.samples * windows.step], axis=1))
        return both[:, 0] - windows.step, both[:, 1] + windows.step


def united(intervals: Float[np.ndarray, "intervals 2"]) -> Float[np.ndarray, "fewer 2"]:
    """Return the union of intervals, as disjoint intervals in order. Those that touch become one."""
    intervals = intervals[np.isfinite(intervals).all(axis=1)]
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if not len(intervals):
        return intervals
    reached = np.maximum.accumulate(intervals[:, 1])
    begins = np.append(True, intervals[1:, 0] > reached[:-1] + _ROUNDING)
    ends = np.append(np.flatnonzero(begins)[1:] - 1, len(intervals) - 1)
    return np.stack([intervals[begins, 0], reached[ends]], axis=1)


def _within(
    edges: Float[np.ndarray, "chosen edges"], observed: Float[np.ndarray, "intervals 2"]
) -> Bool[np.ndarray, "chosen bins"]:
    """Return whether a bin lies within one of the observed intervals, which are disjoint and in order."""
    interval = np.searchsorted(observed[:, 0], edges[:, :-1] + _ROUNDING, side="right") - 1
    return (interval >= 0) & (edges[:, 1:] <= observed[np.maximum(interval, 0), 1] + _ROUNDING)
