"""Spike counts in time bins."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from typing_extensions import override

from causalign.recordings.states import States
from causalign.recordings.windows import Windows


class SpikeStates(States):
    """The spike counts of each unit of an NWB file in each bin of each trial.

    If the intervals in which a unit was observed are known, a bin that is not within one of them is missing (NaN).
    """

    def __init__(self, units: Any, windows: Windows) -> None:
        names = units["unit_name"][:] if "unit_name" in units.colnames else [f"unit {i}" for i in units.id[:]]
        super().__init__(len(windows.start), windows.time, [str(name) for name in names], windows.samples)
        self._units, self._windows = units, windows
        self._observed = "obs_intervals" in units.colnames

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        edges = self._windows.start[trials][:, None] + np.arange(self.time + 1) * self._windows.step
        counts = np.empty((len(trials), self.time, len(self.units)), dtype=np.float32)
        for unit in range(len(self.units)):
            fired = np.sort(self._units.get_unit_spike_times(unit))
            counts[..., unit] = np.diff(np.searchsorted(fired, edges), axis=1)
            if self._observed:
                counts[..., unit][~_within(edges, np.asarray(self._units.get_unit_obs_intervals(unit)))] = np.nan
        counts[np.arange(self.time) >= self._windows.samples[trials][:, None]] = np.nan
        return counts


def span(units: Any, start: Float[np.ndarray, " trials"], stop: Float[np.ndarray, " trials"]) -> tuple[float, float]:
    """Return the first and the last time at which there may be spikes, in seconds.

    These are the ends of the observed intervals. If none are known, they are the ends of all trials and spikes.
    """
    times = [np.asarray(units.get_unit_spike_times(unit)) for unit in range(len(units))]
    ends = [(fired.min(), fired.max()) for fired in times if len(fired)]
    if "obs_intervals" in units.colnames:
        ends = [(o.min(), o.max()) for o in map(np.asarray, map(units.get_unit_obs_intervals, range(len(units))))]
    else:
        ends.append((np.nanmin(start), np.nanmax(stop)))
    return float(min(first for first, _ in ends)), float(max(last for _, last in ends))


def _within(
    edges: Float[np.ndarray, "chosen edges"], observed: Float[np.ndarray, "intervals 2"]
) -> Bool[np.ndarray, "chosen bins"]:
    """Return whether a bin lies within one of the observed intervals, which do not overlap."""
    observed = observed[np.argsort(observed[:, 0])]
    interval = np.searchsorted(observed[:, 0], edges[:, :-1] + 1e-9, side="right") - 1
    return (interval >= 0) & (edges[:, 1:] <= observed[np.maximum(interval, 0), 1] + 1e-9)
