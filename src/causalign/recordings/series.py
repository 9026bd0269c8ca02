"""Evenly sampled series, cut into trials."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.recordings.states import States
from causalign.recordings.windows import Windows

_UNEVEN = 0.01  # tolerance, as a share of the time between samples


class SeriesStates(States):
    """The states of a series `[samples, units]` in a file, of which only the chosen trials are read."""

    def __init__(self, series: Any, windows: Windows, name: str) -> None:
        data = series.data
        units = 1 if len(data.shape) == 1 else data.shape[1]
        super().__init__(len(windows.start), windows.time, [f"unit {index}" for index in range(units)], windows.samples)
        self._data, self._windows = data, windows
        self._conversion, self._offset = float(series.conversion or 1), float(series.offset or 0)
        self._first = _first(series, windows, name)

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen time units"]:
        states = np.full((len(trials), self.time, len(self.units)), np.nan, dtype=np.float32)
        for row, trial in enumerate(trials):
            first, samples = self._first[trial], self._windows.samples[trial]
            cut = np.asarray(self._data[first : first + samples], dtype=np.float32).reshape(-1, len(self.units))
            states[row, : len(cut)] = cut
        if (self._conversion, self._offset) != (1.0, 0.0):
            states = states * np.float32(self._conversion) + np.float32(self._offset)
        return states


def clock(series: Any, name: str) -> tuple[float, float, float]:
    """Return the start of a series, its end, and the time between samples, in seconds.

    Raises:
        InvalidArgument: The series has fewer than two samples, or another number of timestamps.
    """
    samples = len(series.data)
    if samples < 2:
        raise InvalidArgument(f"the series {name!r} has {samples} samples; at least 2 are needed")
    if series.rate is not None:
        return series.starting_time, series.starting_time + samples / series.rate, 1 / series.rate
    times = np.asarray(series.timestamps)
    if len(times) != samples:
        raise InvalidArgument(f"the series {name!r} has {samples} samples and {len(times)} timestamps: unequal clocks")
    step = float(np.median(np.diff(times)))
    return float(times[0]), float(times[-1]) + step, step


def _first(series: Any, windows: Windows, name: str) -> Int[np.ndarray, " trials"]:
    """Return the index of the first sample of each trial: the one at its start, or the next one.

    Raises:
        InvalidArgument: The samples within a trial are not evenly spaced.
    """
    if series.rate is not None:
        return np.ceil((windows.start - series.starting_time) * series.rate - _UNEVEN).astype(np.int64)
    times, step = np.asarray(series.timestamps), windows.step
    first = np.searchsorted(times, windows.start - _UNEVEN * step)
    for trial, (begin, samples) in enumerate(zip(first, windows.samples, strict=True)):
        gaps = np.diff(times[begin : begin + samples])
        if len(gaps) != samples - 1 or (np.abs(gaps - step) > _UNEVEN * step).any():
            raise InvalidArgument(
                f"unequal clocks: in trial {trial} the samples of {name!r} are not {step:g} s apart as elsewhere "
                f"(found {gaps.min(initial=np.inf):g} to {gaps.max(initial=0):g} s); resample the series to one rate "
                "first"
            )
    return first.astype(np.int64)
