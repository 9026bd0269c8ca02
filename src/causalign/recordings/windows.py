"""The windows of trials: the times of their samples on the clock of a recording."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalign.errors import InvalidArgument
from causalign.recordings.omissions import Omissions, seconds

_ROUNDING = 1e-6  # tolerance, as a share of a sample: decimal fractions of a second are not exact in binary


@dataclass(frozen=True, eq=False)
class Windows:
    """The times of the samples of each trial.

    Attributes:
        start: The start of each trial's first sample, in seconds.
        samples: The number of samples of each trial.
        step: The length of a sample, in seconds.
    """

    start: Float[np.ndarray, " trials"]
    samples: Int[np.ndarray, " trials"]
    step: float

    def of(self, trials: Int[np.ndarray, " chosen"]) -> "Windows":
        """Return the windows of some trials."""
        return Windows(self.start[trials], self.samples[trials], self.step)


@dataclass(frozen=True, eq=False)
class Bounds:
    """The bounds of trials, from which windows are made once the length of a sample is known.

    Attributes:
        start: The start of each trial, in seconds. It is NaN if its event did not happen.
        end: The end of each trial, in seconds. It is NaN if it is unknown.
    """

    start: Float[np.ndarray, " trials"]
    end: Float[np.ndarray, " trials"]

    @classmethod
    def around(
        cls,
        event: Float[np.ndarray, " trials"],
        stop: Float[np.ndarray, " trials"],
        window: tuple[float, float] | None,
    ) -> "Bounds":
        """Return the bounds from the event to the end of the trial, or between two times around the event.

        Raises:
            InvalidArgument: The window is not two times, the second after the first.
        """
        if window is None:
            return cls(event, stop)
        try:
            first, last = (float(time) for time in window)
        except (TypeError, ValueError):
            raise InvalidArgument(
                f"window must be two times in seconds around the event, such as (-0.1, 0.5); found {window!r}"
            ) from None
        if not first < last:
            raise InvalidArgument(f"window must go from one time to a later one, found {first} to {last} s")
        return cls(event + first, event + last)

    def windows(
        self,
        omissions: Omissions,
        *,
        event: str,
        step: float,
        what: str,
        recorded: tuple[float, float],
        invalid: Float[np.ndarray, "intervals 2"],
    ) -> Windows:
        """Return the windows of all trials. Those that cannot be used are left out, and have no sample.

        Args:
            omissions: The trials that are left out, to which some are added.
            event: The name of the event in messages.
            step: The length of a sample, in seconds.
            what: The name of a sample in messages.
            recorded: The start and the end of the recording, in seconds.
            invalid: Intervals that no window may overlap.
        """
        start, end = np.nan_to_num(self.start, nan=0.0), np.nan_to_num(self.end, nan=0.0)
        omissions.leave_out(np.isnan(self.start), f"no event {event!r}", fault=False)
        omissions.leave_out(np.isnan(self.end), "without an end (give a window)")
        omissions.leave_out(end - start < step * (1 - _ROUNDING), f"shorter than a {what} of {step:g} s")
        outside = (start < recorded[0] - _ROUNDING * step) | (end > recorded[1] + step * (1 + _ROUNDING))
        omissions.leave_out(outside, f"beyond the recording ({seconds(recorded[0])} to {seconds(recorded[1])} s)")
        overlap = np.zeros(len(start), dtype=bool)
        for first, last in invalid:
            overlap |= (start < last) & (end > first)
        omissions.leave_out(overlap, "in invalid_times", fault=False)
        samples = np.floor((end - start) / step + _ROUNDING).astype(np.int64)
        return Windows(start, np.where(omissions.kept, samples, 0), step)
