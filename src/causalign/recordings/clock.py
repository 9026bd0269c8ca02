"""The clock of a series: which of its samples are those of a trial.

A sample of a trial is the one at its start, or the next one. Samples that were not recorded (a pause, a frame that was
dropped) are missing; none takes the place of another.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from causalign.errors import InvalidArgument
from causalign.recordings.omissions import seconds
from causalign.recordings.windows import Windows

_AT_START = 0.01  # of a sample: a sample that is earlier by no more than that is the one at the start


@dataclass(frozen=True, eq=False)
class Cut:
    """The samples of a series that are those of one trial.

    Attributes:
        first: The index of the first sample in the series.
        last: The index after the last one.
        rows: The samples among `first` to `last` that are taken. If `None`, all are, and none is missing.
        places: The position in the trial of each of these.
    """

    first: int
    last: int
    rows: Int[np.ndarray, " taken"] | None = None
    places: Int[np.ndarray, " taken"] | None = None

    @property
    def empty(self) -> bool:
        """Whether the trial has no sample."""
        return self.last <= self.first


class Clock:
    """The times of a series' samples.

    Args:
        series: The series of pynwb.
        name: Its name in messages.
        jitter: The largest deviation of the time between samples from its median, as a share of it.

    Raises:
        InvalidArgument: The series has fewer than two samples, a rate of 0, another number of timestamps than samples,
            or timestamps that go back or stand still.
    """

    def __init__(self, series: Any, name: str, jitter: float) -> None:
        if not 0 <= jitter < 0.5:
            raise InvalidArgument(f"jitter must be a share of the time between samples, from 0 to 0.5; found {jitter}")
        self.name, self._jitter, samples = name, jitter, len(series.data)
        if samples < 2:
            raise InvalidArgument(f"the series {name!r} has {samples} samples; at least 2 are needed")
        self._times: Float[np.ndarray, " times"] | None = None
        if series.rate is not None:
            if not (np.isfinite(series.rate) and series.rate > 0):
                raise InvalidArgument(f"the series {name!r} has a rate of {series.rate:g} Hz, and so no times")
            self.step = 1 / float(series.rate)
            self._start = float(series.starting_time or 0)
            self.span = self._start, self._start + samples * self.step
            return
        times = np.asarray(series.timestamps, dtype=np.float64)
        if times.shape != (samples,):
            raise InvalidArgument(
                f"the series {name!r} has {samples} samples and timestamps of the shape "
                f"{list(times.shape)}: unequal clocks"
            )
        self._rows = np.flatnonzero(np.isfinite(times))  # a sample at an unknown time is none
        self._times = times[self._rows]
        self.step = _step(self._times, self._rows, name)
        self.span = float(self._times[0]), float(self._times[-1]) + self.step

    def cuts(self, windows: Windows) -> tuple[list[Cut], Bool[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """Return the samples of each trial, whether it has none, and whether they are unevenly spaced."""
        trials = len(windows.start)
        if self._times is None:
            begins = np.ceil((windows.start - self._start) / self.step - _AT_START).astype(np.int64)
            cuts = [Cut(int(each), int(each + samples)) for each, samples in zip(begins, windows.samples, strict=True)]
            return cuts, np.zeros(trials, bool), np.zeros(trials, bool)
        off = np.abs(np.diff(self._times, prepend=self._times[0] - self.step) / self.step - 1) > self._jitter
        total_off = np.append(0, np.cumsum(off))
        cuts, none, uneven = [], np.zeros(trials, bool), np.zeros(trials, bool)
        for trial, (start, samples) in enumerate(zip(windows.start, windows.samples, strict=True)):
            first = int(np.searchsorted(self._times, start - _AT_START * self.step))
            last = first + int(samples)
            whole = samples and last <= len(self._times) and total_off[last] == total_off[first + 1]
            if whole and self._times[first] < start + self.step * (1 + self._jitter):
                cuts.append(self._cut(first, last))
                continue
            cut, even = self._with_gaps(first, float(start), int(samples))
            cuts.append(cut)
            none[trial], uneven[trial] = cut.empty, not even
        return cuts, none & (windows.samples > 0), uneven

    def _cut(self, first: int, last: int, places: Int[np.ndarray, " times"] | None = None) -> Cut:
        """Return the cut of the times from `first` to `last`, in consecutive places unless they are given."""
        assert self._times is not None
        rows = self._rows[first:last]
        begin, end = int(rows[0]), int(rows[-1]) + 1
        if places is None and end - begin == len(rows):
            return Cut(begin, end)
        return Cut(begin, end, rows - begin, np.arange(len(rows)) if places is None else places)

    def _with_gaps(self, first: int, start: float, samples: int) -> tuple[Cut, bool]:
        """Return the samples of a trial from `first` on, some of which are missing, and whether the rest is even."""
        assert self._times is not None
        end = int(np.searchsorted(self._times, start + (samples - _AT_START) * self.step))
        times = (self._times[first:end] - start) / self.step
        if not len(times):
            return Cut(0, 0), True
        steps = np.diff(times)
        whole = np.rint(steps)
        even = bool(((whole > 1.5) | (np.abs(steps - 1) <= self._jitter)).all())
        places = np.floor(times + _AT_START).astype(np.int64)
        regular = np.abs(steps - whole) <= self._jitter * np.maximum(1, whole)
        for index in np.flatnonzero(regular & (whole >= 1)) + 1:  # as many places on as there is time, jitter or not
            places[index] = places[index - 1] + int(whole[index - 1])
        within = (places < samples) & (np.diff(places, prepend=-1) > 0)
        if not within.any():
            return Cut(0, 0), even
        cut = self._cut(first, end, places)
        assert cut.rows is not None
        return Cut(cut.first, cut.last, cut.rows[within], places[within]), even


def _step(times: Float[np.ndarray, " times"], rows: Int[np.ndarray, " times"], name: str) -> float:
    if len(times) < 2:
        raise InvalidArgument(
            f"the series {name!r} has {len(times)} timestamps that are numbers; at least 2 are needed"
        )
    steps = np.diff(times)
    if (steps < 0).any():
        back = int(np.flatnonzero(steps < 0)[0])
        raise InvalidArgument(
            f"the clock of the series {name!r} goes back, from {seconds(times[back])} to {seconds(times[back + 1])} s "
            f"at sample {rows[back + 1]}; split it into series with a clock each"
        )
    step = float(np.median(steps))
    if not step > 0:
        raise InvalidArgument(
            f"the clock of the series {name!r} stands still: most timestamps are equal to the one before"
        )
    return step
