"""Trials that are left out: why, how many, and whether there are too many."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from causalign.errors import InvalidArgument


class Omissions:
    """The trials that are left out of a recording, by reason.

    Args:
        names: The name of each trial: its id in the table.
        start: The time of each trial, in seconds.
    """

    def __init__(self, names: Shaped[np.ndarray, " trials"], start: Float[np.ndarray, " trials"]) -> None:
        self._names, self._start = names, start
        self.kept: Bool[np.ndarray, " trials"] = np.ones(len(names), dtype=bool)
        self._faulty = np.zeros(len(names), dtype=bool)
        self._reasons = np.full(len(names), "", dtype=object)

    def leave_out(self, trials: Bool[np.ndarray, " trials"], reason: str, *, fault: bool = True) -> None:
        """Leave out these trials, but for those that are left out already.

        Args:
            trials: Whether to leave out each trial.
            reason: Why.
            fault: Whether that is a fault of the trial, of which only a share is tolerated.
        """
        new = trials & self.kept
        self._reasons[new] = reason
        self._faulty |= new & fault
        self.kept = self.kept & ~trials

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials that are left out, by reason."""
        reasons = self._reasons[~self.kept].tolist()
        return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}

    @property
    def table(self) -> pd.DataFrame:
        """The trials that are left out: `trial`, `start_time` and `reason`."""
        out = ~self.kept
        return pd.DataFrame({"trial": self._names[out], "start_time": self._start[out], "reason": self._reasons[out]})

    def require_few(self, share: float, name: str) -> None:
        """Check that at most a share of the trials is left out for a fault, and that some are kept.

        Raises:
            InvalidArgument: Too many are left out. The message says how many, why, and the first one.
        """
        if self.kept.any() and self._faulty.mean() <= share:
            return
        first = int(np.flatnonzero(~self.kept)[0])
        counts = "; ".join(f"{count} {reason}" for reason, count in self.counts.items())
        limit = f", more than max_left_out={share:g}" if self._faulty.mean() > share else ""
        raise InvalidArgument(
            f"{name}: {int((~self.kept).sum())} of {len(self.kept)} trials cannot be used{limit}: {counts} (the first "
            f"is trial {self._names[first]}, at {seconds(self._start[first])} s)"
        )


def seconds(time: float) -> str:
    """Return a time on the clock of a session, to the microsecond."""
    return f"{time:.6f}".rstrip("0").rstrip(".")
