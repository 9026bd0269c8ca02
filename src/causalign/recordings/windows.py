"""The windows of trials: the times of their samples on the clock of a recording."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalign.errors import InvalidArgument

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

    @property
    def time(self) -> int:
        """The number of samples of the longest trial."""
        return int(self.samples.max())

    @classmethod
    def of(
        cls,
        event: Float[np.ndarray, " trials"],
        stop: Float[np.ndarray, " trials"],
        window: tuple[float, float] | None,
        *,
        step: float,
        what: str,
        recorded: tuple[float, float],
    ) -> "Windows":
        """Return the windows from the event to the end of the trial, or between two times around the event.

        Args:
            event: The time of each trial's event, in seconds.
            stop: The end of each trial, in seconds.
            window: The start and the end relative to the event, in seconds. If `None`, a window goes from the event to
                the end of the trial.
            step: The length of a sample, in seconds.
            what: The name of a sample in messages.
            recorded: The start and the end of the recording, in seconds.

        Raises:
            InvalidArgument: A window is empty, has no room for one sample, or is not within the recording.
        """
        if window is not None and not window[0] < window[1]:
            raise InvalidArgument(f"window must go from one time to a later one, found {window[0]} to {window[1]} s")
        start = event if window is None else event + window[0]
        end = stop if window is None else event + window[1]
        short = end - start < step * (1 - _ROUNDING)
        if short.any():
            trial = int(np.flatnonzero(short)[0])
            raise InvalidArgument(
                f"a {what} of {step:g} s is longer than trial {trial}, which has {end[trial] - start[trial]:g} s from "
                "the event on"
            )
        outside = (start < recorded[0] - _ROUNDING * step) | (end > recorded[1] + step * (1 + _ROUNDING))
        if outside.any():
            trial = int(np.flatnonzero(outside)[0])
            raise InvalidArgument(
                f"{int(outside.sum())} trials are not within the recording ({recorded[0]:g} to {recorded[1]:g} s): "
                f"trial {trial} is aligned from {start[trial]:g} to {end[trial]:g} s"
            )
        return cls(start, np.floor((end - start) / step + _ROUNDING).astype(np.int64), step)
