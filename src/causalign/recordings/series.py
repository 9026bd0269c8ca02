"""Series of samples in files, cut into trials."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.recordings.clock import Cut
from causalign.recordings.states import ReadStates, States
from causalign.recordings.windows import Windows

_BYTES = 2**26  # size of what is read from a file at once


class SeriesStates(States):
    """The samples of a series `[samples, ...]` in the unit that the file states, of which only the trials are read.

    A series of more than two dimensions has a unit for each combination of the further ones.

    Args:
        series: The series of pynwb.
        cuts: The samples of each trial.
        windows: The windows of the trials.
        units: The names of the chosen units.
        chosen: The index of each chosen unit.
        name: The name of the series in messages.

    Raises:
        InvalidArgument: The series is not of numbers, or its conversion is 0 or not finite.
    """

    def __init__(
        self,
        series: Any,
        cuts: Sequence[Cut],
        windows: Windows,
        *,
        units: Sequence[str],
        chosen: Int[np.ndarray, " units"],
        name: str,
    ) -> None:
        super().__init__(windows.samples, units)
        self._data, self._cuts, self._chosen = series.data, cuts, chosen
        gain, self._offset = conversion(series, name)
        self._gain, self._every = gain[chosen], np.array_equal(chosen, np.arange(len(gain)))
        chunks = getattr(series.data, "chunks", None)
        self._chunk = int(chunks[0]) if chunks else 1
        sample = np.dtype(series.data.dtype).itemsize * int(np.prod(series.data.shape[1:], dtype=np.int64))
        self._most = max(1, _BYTES // max(1, sample))

    @override
    def read(self, trials: Int[np.ndarray, " chosen"]) -> ReadStates:
        states = self.empty(trials)
        order = np.argsort([self._cuts[trial].first for trial in trials], kind="stable")
        for rows in self._together(trials, order):  # in the order of the file, so that each chunk is decompressed once
            cuts = [self._cuts[trials[row]] for row in rows]
            first = min(cut.first for cut in cuts)
            data = np.asarray(self._data[first : max(cut.last for cut in cuts)])
            data = data.reshape(len(data), -1)
            data = data if self._every else data[:, self._chosen]
            for row, cut in zip(rows, cuts, strict=True):
                taken = slice(cut.first - first, cut.last - first) if cut.rows is None else cut.first - first + cut.rows
                places = slice(cut.last - cut.first) if cut.places is None else cut.places
                states[row, places] = data[taken] * self._gain + self._offset
        return states

    def _together(self, trials: Int[np.ndarray, " chosen"], order: Int[np.ndarray, " chosen"]) -> Iterator[list[int]]:
        """Yield the rows of trials that are read in one go, since a chunk of the file may hold samples of several."""
        rows: list[int] = []
        first = last = 0
        for row in order.tolist():
            cut = self._cuts[trials[row]]
            if rows and (cut.first > last + self._chunk or cut.last - first > self._most):
                yield rows
                rows = []
            if not rows:
                first, last = cut.first, cut.last
            rows.append(row)
            last = max(last, cut.last)
        if rows:
            yield rows


def conversion(series: Any, name: str) -> tuple[Float[np.ndarray, " units"], float]:
    """Return the factor of each unit and the offset that make stored numbers physical quantities.

    physical = stored * conversion * channel_conversion + offset, as the NWB format has it.

    Raises:
        InvalidArgument: The series is not of numbers, or a factor is 0 or not finite.
    """
    data = series.data
    if getattr(getattr(data, "dtype", None), "kind", "O") not in "biuf":
        raise InvalidArgument(f"the series {name!r} does not hold numbers, and cannot be states")
    gain, offset = (float(value) for value in (series.conversion, series.offset or 0))
    of_channels = getattr(series, "channel_conversion", None)
    channels = data.shape[1] if len(data.shape) > 1 else 1
    factors: Shaped[np.ndarray, ...] = np.full(channels, gain)
    if of_channels is not None:
        factors = factors * np.asarray(of_channels, dtype=np.float64)
    if not np.isfinite(factors).all() or not factors.all() or not np.isfinite(offset):
        raise InvalidArgument(
            f"the series {name!r} has a conversion or offset of 0, NaN or infinity; mend it in the file"
        )
    return np.repeat(factors, int(np.prod(data.shape[2:], dtype=np.int64))), offset
