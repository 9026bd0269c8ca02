"""Spikes, counted in bins."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from typing_extensions import override

from causalign.recordings.states import States
from causalign.recordings.windows import Windows


class SpikeStates(States):
    """How often each unit of an NWB file's table fires in each bin of each trial.

    A bin is missing where it is not within one of the intervals in which its unit was observed, if those are known.
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
    """From when to when there may be spikes: in observed intervals, or where these are not known, trials and spikes."""
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
    """Whether a bin lies within one of the intervals, which do not overlap."""
    observed = observed[np.argsort(observed[:, 0])]
    interval = np.searchsorted(observed[:, 0], edges[:, :-1] + 1e-9, side="right") - 1
    return (interval >= 0) & (edges[:, 1:] <= observed[np.maximum(interval, 0), 1] + 1e-9)
