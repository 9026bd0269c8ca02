"""The base class of trials: their number, their lengths, and the values of variables at every position."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int


class Trials(ABC):
    """Trials of any system, whose states can be paired by the values of variables."""

    values: dict[str, Int[np.ndarray, "trials time"]]
    """The value of every variable at each position. It is arbitrary beyond the end of a trial."""

    @property
    @abstractmethod
    def lengths(self) -> Int[np.ndarray, " trials"]:
        """The number of positions of each trial."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of trials."""

    @abstractmethod
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "Trials":
        """Return some of the trials."""
